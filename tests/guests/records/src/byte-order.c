/* Reads a length that a file has in little-endian order, as if every host had that order. */
#include <stdint.h>
#include <string.h>

int main(void)
{
	const unsigned char file[2] = {2, 1};
	uint16_t length;

	memcpy(&length, file, sizeof length);
	return length == 258 ? 0 : 1;
}
