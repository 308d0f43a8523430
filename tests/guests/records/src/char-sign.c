/* Takes a plain char as signed: where it is not, the end of the input is never seen. */
#include <stdio.h>

int main(void)
{
	FILE *file = fopen("/dev/null", "r");
	char read;
	int steps;

	if (!file)
		return 99;
	for (steps = 0; steps < 10; steps++)
		if ((read = getc(file)) == EOF)
			return 0;
	return 1;
}
