/* A thread a client: blocking reads. */
#include <pthread.h>
#include <stdint.h>

#include "sink.h"

static void *serve(void *argument)
{
    int client = (int)(intptr_t)argument;

    while (relay(client))
        ;
    close(client);
    return NULL;
}

int main(void)
{
    pthread_attr_t attributes;
    int listening = listener();

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 64 * 1024);
    for (;;) {
        pthread_t thread;
        int client = accept(listening, NULL, NULL);

        if (client >= 0 && pthread_create(&thread, &attributes, serve, (void *)(intptr_t)client)) {
            fputs("pthread_create failed\n", stderr);
            close(client);
        }
    }
}
