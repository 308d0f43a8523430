/* What the C subjects share: a listener at a port the kernel picks, and the work of one read. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 4096 };

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* Listens on 127.0.0.1 and says its port on standard error. */
static int listener(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, 4096) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        fail("listen");
#ifdef ORIGINAL
    setvbuf(stdout, NULL, _IOFBF, SIZE);
#endif
    fprintf(stderr, "%d\n", ntohs(address.sin_port));
    return fd;
}

/*
 * One read, one write of the same bytes; 0 at the end.
 * ORIGINAL is the paper's: what is read goes into stdio's buffer of 4 KiB.
 */
static int relay(int fd)
{
    char buffer[SIZE];
    ssize_t got = read(fd, buffer, sizeof buffer);

#ifdef ORIGINAL
    if (got > 0 && fwrite(buffer, 1, (size_t)got, stdout) != (size_t)got)
        fail("fwrite");
#else
    if (got > 0 && write(STDOUT_FILENO, buffer, (size_t)got) != got)
        fail("write");
#endif
    return got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN));
}
