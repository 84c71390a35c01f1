/* The floor: the least that serving over HTTP can cost on this machine, in C.
 *
 *   floor hop  PORT WORKERS   one epoll loop in front of forked workers; each request crosses a socketpair to a worker and back, and up to
 *                             64 of them share a message. The same isolation as the server's, without anything else.
 *   floor drop PORT 0         the loop alone: it reads bodies of any size, drops them and answers their length.
 *   floor send PORT 0         the loop alone: a body is a number, and the answer is so many bytes out of its memory, at most 16 MiB.
 *
 * It knows just enough HTTP for the load generator: requests with Content-Length, one at a time on a connection.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COALESCE = 64, IN_FLIGHT = 2, CONNECTIONS = 4096, SMALL = 8192, WORKERS = 16, QUEUE = 8192, LARGEST = 16 << 20 };

struct connection {
    long missing; /* bytes of the body that are still to come */
    long total;   /* bytes of the whole body */
    int used;     /* bytes of an incomplete header kept in data, or of the body once the header is complete */
    int in_body;
    long unsent; /* bytes of the answer that the socket did not take yet */
    char data[SMALL];
};

struct record {
    int32_t fd;
    int32_t length;
};

struct worker {
    int fd;
    int in_flight;
};

static struct connection *connections[CONNECTIONS];
static struct worker workers[WORKERS];
static int worker_count;
static int waiting[QUEUE];
static unsigned head, tail;
static char input[262144];
static char memory[LARGEST];
static int poll_fd, sends;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void read_whole(int fd, void *to, size_t size) {
    for (char *at = to; size > 0;) {
        ssize_t got = read(fd, at, size);
        if (got <= 0) _exit(0);
        at += got;
        size -= got;
    }
}

static void write_whole(int fd, const void *from, size_t size) {
    for (const char *at = from; size > 0;) {
        ssize_t put = write(fd, at, size);
        if (put <= 0) _exit(0);
        at += put;
        size -= put;
    }
}

/* A message to a worker: count, bytes, records, bodies. A message back: count, then an fd and "OK" for each. */
static void work(int fd) {
    static char in[COALESCE * (SMALL + sizeof(struct record))], out[8 + COALESCE * 6];
    for (;;) {
        uint32_t size[2];
        read_whole(fd, size, sizeof size);
        read_whole(fd, in, size[1]);
        struct record *records = (struct record *)in;
        char *at = out + 4;
        memcpy(out, &size[0], 4);
        for (uint32_t i = 0; i < size[0]; i++, at += 6) {
            memcpy(at, &records[i].fd, 4);
            memcpy(at + 4, "OK", 2);
        }
        write_whole(fd, out, at - out);
    }
}

static void start_worker(struct worker *worker) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) fail("socketpair");
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(pair[0]);
        work(pair[1]);
    }
    close(pair[1]);
    worker->fd = pair[0];
}

static void answer(int fd, const char *body, int length) {
    char text[256];
    int size = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nx-request-id: 00000000-0000\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%.*s",
                        length, length, body);
    send(fd, text, size, MSG_NOSIGNAL);
}

static void wait_for(int fd, uint32_t what) {
    struct epoll_event event = {.events = what, .data.fd = fd};
    if (epoll_ctl(poll_fd, EPOLL_CTL_MOD, fd, &event)) fail("epoll_ctl");
}

/* The bytes in memory are all the same, so where the next ones come from does not matter. */
static void send_rest(int fd, struct connection *c) {
    while (c->unsent > 0) {
        ssize_t put = send(fd, memory, c->unsent, MSG_NOSIGNAL);
        if (put < 0 && errno == EAGAIN) return wait_for(fd, EPOLLOUT);
        if (put <= 0) return;
        c->unsent -= put;
    }
    wait_for(fd, EPOLLIN);
}

static void send_bytes(int fd, struct connection *c) {
    c->data[c->used] = 0;
    long size = atol(c->data);
    if (size < 0 || size > LARGEST) fail("so much is not in memory");
    char text[256];
    struct iovec parts[] = {{text, 0}, {memory, size}};
    parts[0].iov_len = snprintf(text, sizeof text,
                                "HTTP/1.1 200 OK\r\nx-request-id: 00000000-0000\r\ncontent-type: application/octet-stream\r\ncontent-length: %ld\r\n\r\n", size);
    ssize_t put = writev(fd, parts, 2);
    if (put < (ssize_t)parts[0].iov_len) return;
    c->used = 0;
    c->unsent = size + parts[0].iov_len - put;
    if (c->unsent) send_rest(fd, c);
}

static void collect(struct worker *worker) {
    char in[COALESCE * 6];
    uint32_t count;
    read_whole(worker->fd, &count, sizeof count);
    read_whole(worker->fd, in, count * 6);
    for (uint32_t i = 0; i < count; i++) {
        int32_t fd;
        memcpy(&fd, in + 6 * i, 4);
        answer(fd, in + 6 * i + 4, 2);
    }
    worker->in_flight--;
}

static struct worker *least_busy(void) {
    struct worker *best = &workers[0];
    for (int i = 1; i < worker_count; i++)
        if (workers[i].in_flight < best->in_flight) best = &workers[i];
    return best;
}

static void dispatch(void) {
    static char out[8 + COALESCE * (SMALL + sizeof(struct record))];
    while (head != tail) {
        struct worker *worker = least_busy();
        if (worker->in_flight >= IN_FLIGHT) return;
        uint32_t count = tail - head < COALESCE ? tail - head : COALESCE;
        struct record *records = (struct record *)(out + 8);
        char *at = (char *)(records + count);
        for (uint32_t i = 0; i < count; i++) {
            int fd = waiting[head++ % QUEUE];
            struct connection *c = connections[fd];
            records[i] = (struct record){fd, c->used};
            memcpy(at, c->data, c->used);
            at += c->used;
            c->used = 0;
        }
        uint32_t size[2] = {count, at - out - 8};
        memcpy(out, size, sizeof size);
        write_whole(worker->fd, out, at - out);
        worker->in_flight++;
    }
}

static void complete(int fd, struct connection *c) {
    c->in_body = 0;
    if (worker_count) {
        waiting[tail++ % QUEUE] = fd;
        return;
    }
    if (sends) return send_bytes(fd, c);
    char text[24];
    answer(fd, text, snprintf(text, sizeof text, "%ld", c->total));
    c->used = 0;
}

static void take_body(int fd, struct connection *c, const char *data, long size) {
    if (worker_count || sends) {
        if (c->used + size >= SMALL) fail("the body is too long for this mode");
        memcpy(c->data + c->used, data, size);
        c->used += size;
    }
    c->missing -= size;
    if (c->missing <= 0) complete(fd, c);
}

static void take_header(int fd, struct connection *c, char *data, long size) {
    if (c->used) { /* the beginning came earlier */
        if (c->used + size >= SMALL) fail("the header is too long");
        memcpy(c->data + c->used, data, size);
        size += c->used;
        data = memcpy(input, c->data, size);
    }
    char *end = memmem(data, size, "\r\n\r\n", 4);
    if (!end) {
        if (size >= SMALL) fail("the header is too long");
        memcpy(c->data, data, size);
        c->used = size;
        return;
    }
    *end = 0;
    char *length = strcasestr(data, "\r\ncontent-length:");
    c->missing = c->total = length ? atol(length + 17) : 0;
    c->used = 0;
    c->in_body = 1;
    take_body(fd, c, end + 4, size - (end + 4 - data));
}

static void receive(int fd) {
    struct connection *c = connections[fd];
    long size = recv(fd, input, sizeof input - 1, 0);
    if (size <= 0) {
        close(fd);
        return;
    }
    if (c->in_body)
        take_body(fd, c, input, size);
    else
        take_header(fd, c, input, size);
}

static void watch(int poll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
}

static void welcome(int poll, int listener) {
    int one = 1, fd = accept4(listener, 0, 0, SOCK_NONBLOCK);
    if (fd < 0) return;
    if (fd >= CONNECTIONS) fail("too many connections");
    setsockopt(fd, SOL_TCP, TCP_NODELAY, &one, sizeof one);
    if (!connections[fd]) connections[fd] = malloc(sizeof(struct connection));
    connections[fd]->missing = connections[fd]->used = connections[fd]->in_body = connections[fd]->unsent = 0;
    watch(poll, fd);
}

static int listen_on(int port) {
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (void *)&address, sizeof address) || listen(fd, 1024)) fail("listen");
    return fd;
}

static struct worker *worker_of(int fd) {
    for (int i = 0; i < worker_count; i++)
        if (workers[i].fd == fd) return &workers[i];
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 4 || atoi(argv[3]) > WORKERS) {
        fprintf(stderr, "usage: floor hop|drop|send PORT WORKERS\n");
        return 2;
    }
    worker_count = strcmp(argv[1], "hop") ? 0 : atoi(argv[3]);
    for (int i = 0; i < worker_count; i++) start_worker(&workers[i]);
    sends = !strcmp(argv[1], "send");
    signal(SIGPIPE, SIG_IGN);
    int listener = listen_on(atoi(argv[2])), poll = poll_fd = epoll_create1(0);
    watch(poll, listener);
    for (int i = 0; i < worker_count; i++) watch(poll, workers[i].fd);
    for (struct epoll_event events[256];;) {
        int count = epoll_wait(poll, events, 256, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            struct worker *worker = worker_of(fd);
            if (fd == listener)
                welcome(poll, listener);
            else if (worker)
                collect(worker);
            else if (connections[fd]->unsent)
                send_rest(fd, connections[fd]);
            else
                receive(fd);
        }
        dispatch();
    }
}
