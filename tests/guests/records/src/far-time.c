/* Keeps a certificate's end, in the year 2040, in a time_t. */
#include <time.h>

int main(void)
{
	struct tm end = {.tm_year = 140, .tm_mday = 1};

	return mktime(&end) == (time_t)-1 ? 1 : 0;
}
