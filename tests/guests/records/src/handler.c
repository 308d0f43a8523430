/*
 * Leaves sa_flags as the memory was before: where the flags come early in struct sigaction, they
 * are the number of an old record, which here has the bit of SA_RESETHAND.
 */
#include <signal.h>
#include <string.h>

static union {
	struct { long long address; unsigned int checksum[2]; } record;
	struct sigaction action;
} pool;
static volatile sig_atomic_t heard;

static void hear(int number)
{
	(void)number;
	heard++;
}

int main(void)
{
	pool.record.checksum[0] = pool.record.checksum[1] = SA_RESETHAND;
	pool.action.sa_handler = hear;
	sigemptyset(&pool.action.sa_mask);
	if (sigaction(SIGUSR1, &pool.action, NULL))
		return 99;
	raise(SIGUSR1);
	raise(SIGUSR1);
	return heard == 2 ? 0 : 1;
}
