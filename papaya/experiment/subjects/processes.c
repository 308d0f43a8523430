/* A process a client: fork after accept, blocking reads. */
#include "sink.h"

static volatile sig_atomic_t ending, listening;

static void on_term(int signum)
{
    (void)signum;
    ending = 1;
    close(listening); /* Just before accept() it would else not end it. */
}

static void on_child(int signum)
{
    int saved = errno;

    (void)signum;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    errno = saved;
}

int main(void)
{
    struct sigaction term = {.sa_handler = on_term}, child = {.sa_handler = on_child};
    sigset_t both, none;

    child.sa_flags = SA_NOCLDSTOP;
    listening = listener();
    sigaction(SIGTERM, &term, NULL);
    sigaction(SIGCHLD, &child, NULL);
    sigemptyset(&none);
    sigemptyset(&both);
    sigaddset(&both, SIGTERM);
    while (!ending) {
        int client = accept(listening, NULL, NULL);

        if (client < 0)
            continue; /* A signal, or a client that is gone again. */
        sigprocmask(SIG_BLOCK, &both, NULL);
        switch (fork()) {
        case -1:
            perror("fork");
            break;
        case 0:
            signal(SIGTERM, SIG_DFL);
            sigprocmask(SIG_SETMASK, &none, NULL);
            close(listening);
            while (relay(client))
                ;
            _exit(0);
        }
        close(client);
        sigprocmask(SIG_SETMASK, &none, NULL);
    }
    signal(SIGCHLD, SIG_DFL);
    signal(SIGTERM, SIG_IGN);
    kill(0, SIGTERM);
    while (wait(NULL) > 0 || errno == EINTR)
        ;
    return 0;
}
