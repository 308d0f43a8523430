/* One process that waits for all clients: epoll(7), or kqueue(2) where there is none. */
#include <fcntl.h>

#include "sink.h"

#ifdef __linux__
#include <sys/epoll.h>
typedef struct epoll_event Event;
#define DESCRIPTOR(event) ((event).data.fd)

static int waiter(void)
{
    return epoll_create1(EPOLL_CLOEXEC);
}

static int watch(int queue, int fd)
{
    Event wanted = {.events = EPOLLIN, .data.fd = fd};

    return epoll_ctl(queue, EPOLL_CTL_ADD, fd, &wanted);
}

static int ready(int queue, Event *events, int most)
{
    return epoll_wait(queue, events, most, -1);
}
#else
#include <sys/event.h>
typedef struct kevent Event;
#define DESCRIPTOR(event) ((int)(event).ident)

static int waiter(void)
{
    return kqueue();
}

static int watch(int queue, int fd)
{
    Event wanted;

    EV_SET(&wanted, fd, EVFILT_READ, EV_ADD, 0, 0, 0);
    return kevent(queue, &wanted, 1, NULL, 0, NULL);
}

static int ready(int queue, Event *events, int most)
{
    return kevent(queue, NULL, 0, events, most, NULL);
}
#endif

int main(void)
{
    Event events[64];
    int queue = waiter(), listening = listener();

    fcntl(listening, F_SETFL, O_NONBLOCK);
    if (queue < 0 || watch(queue, listening) < 0)
        fail("watch");
    for (;;) {
        int count = ready(queue, events, 64);

        for (int at = 0; at < count; at++) {
            int fd = DESCRIPTOR(events[at]);

            if (fd == listening) {
                int client = accept(listening, NULL, NULL);

                if (client >= 0) {
                    fcntl(client, F_SETFL, O_NONBLOCK);
                    if (watch(queue, client) < 0)
                        fail("watch");
                }
            } else if (!relay(fd)) {
                close(fd);
            }
        }
    }
}
