/* SPDX-License-Identifier: MIT */
/* Taking a port.
 *
 * Several sockets on one port need SO_REUSEPORT, and with that option a second node of the same
 * user would silently share the port with the first. So the first socket is bound and listens
 * without it: the kernel lets exactly one such socket listen, whoever else tries at the same time.
 * Only then it gets the option, and the others join it. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rusm/error.h"

#include "base/mem.h"
#include "serve/serve_impl.h"

/* ---- the address as text ---- */

struct address {
    char host[256];
    char port[6];
};

static bool is_port(const char *text) {
    size_t len = strlen(text);
    return len >= 1 && len <= 5 && strspn(text, "0123456789") == len && atol(text) <= 65535;
}

/* "host:port" or "[v6]:port". */
static bool split(const char *listen, struct address *out) {
    const char *colon = strrchr(listen, ':');
    if (!colon || !is_port(colon + 1))
        return false;
    size_t len = (size_t)(colon - listen);
    if (len >= 2 && listen[0] == '[' && listen[len - 1] == ']') {
        listen++;
        len -= 2;
    }
    if (len == 0 || len >= sizeof out->host)
        return false;
    memcpy(out->host, listen, len);
    out->host[len] = '\0';
    strcpy(out->port, colon + 1);
    return true;
}

/* The address that a socket got, as a URL. */
static char *url_of(int fd) {
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    char host[NI_MAXHOST], port[NI_MAXSERV], url[NI_MAXHOST + NI_MAXSERV + 16];
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0 ||
        getnameinfo((struct sockaddr *)&address, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return NULL;
    bool v6 = address.ss_family == AF_INET6;
    int used = snprintf(url, sizeof url, v6 ? "http://[%s]:%s" : "http://%s:%s", host, port);
    return used > 0 ? rusm__mem_try_strndup(url, (size_t)used) : NULL;
}

/* ---- sockets ---- */

static int set(int fd, int level, int option) {
    int one = 1;
    return setsockopt(fd, level, option, &one, sizeof one);
}

/* TCP_NODELAY is inherited by accepted sockets. On failure -1, with errno set. */
static int new_socket(int family) {
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (set(fd, SOL_SOCKET, SO_REUSEADDR) != 0 || set(fd, IPPROTO_TCP, TCP_NODELAY) != 0 ||
        (family == AF_INET6 && set(fd, IPPROTO_IPV6, IPV6_V6ONLY) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

static int claim(const struct addrinfo *info) {
    int fd = new_socket(info->ai_family);
    if (fd < 0)
        return -1;
    if (bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, SOMAXCONN) != 0 ||
        set(fd, SOL_SOCKET, SO_REUSEPORT) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* One more socket on the port of `first`. It listens later, when its shard accepts. */
static int join(int first) {
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    if (getsockname(first, (struct sockaddr *)&address, &len) != 0)
        return -1;
    int fd = new_socket(address.ss_family);
    if (fd < 0)
        return -1;
    if (set(fd, SOL_SOCKET, SO_REUSEPORT) != 0 || bind(fd, (struct sockaddr *)&address, len) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

void rusm__listener_close_sockets(struct rusm__listener *listener, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (listener->gates[i].fd >= 0 && !listener->gates[i].open) {
            close(listener->gates[i].fd);
            listener->gates[i].fd = -1;
        }
    }
}

/* 0 or an errno. */
static int open_sockets(struct rusm__listener *listener, const struct addrinfo *info,
                        uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        int fd = i == 0 ? claim(info) : join(listener->gates[0].fd);
        if (fd < 0) {
            int error = errno;
            rusm__listener_close_sockets(listener, count);
            return error;
        }
        listener->gates[i].fd = fd;
    }
    return 0;
}

/* ---- texts ---- */

static const char *remedy(int error) {
    switch (error) {
    case EADDRINUSE:
        return "stop the program that uses the port, or change `listen`";
    case EACCES:
    case EPERM:
        return "choose a port above 1023, or give the program CAP_NET_BIND_SERVICE";
    case EADDRNOTAVAIL:
        return "no network interface has this address; use 127.0.0.1, or 0.0.0.0 for all";
    case EMFILE:
    case ENFILE:
        return "raise the limit of open files";
    default:
        return NULL;
    }
}

static int code_of(int error) {
    switch (error) {
    case EADDRINUSE:
        return RUSM_EBUSY;
    case EACCES:
    case EPERM:
        return RUSM_EPERM;
    case EADDRNOTAVAIL:
        return RUSM_EINVAL;
    case ENOMEM:
        return RUSM_ENOMEM;
    default:
        return RUSM_EIO;
    }
}

static int explain(struct rusm__buf *out, const char *name, const char *listen, int error) {
    rusm__buf_addf(out, "binding %s for `%s`: %s", listen, name, strerrordesc_np(error));
    if (remedy(error))
        rusm__buf_addf(out, " (%s)", remedy(error));
    return code_of(error);
}

/* ---- the whole ---- */

/* A name may stand for several addresses: the first that can be bound. */
static int bind_first(struct rusm__listener *listener, const struct addrinfo *found,
                      uint32_t count) {
    int error = EADDRNOTAVAIL;
    for (const struct addrinfo *info = found; info; info = info->ai_next) {
        error = open_sockets(listener, info, count);
        if (error == 0)
            return 0;
    }
    return error;
}

int rusm__listener_bind(struct rusm__listener *listener, const char *name, const char *listen,
                        uint32_t count, struct rusm__buf *error) {
    struct address address;
    if (!split(listen, &address)) {
        rusm__buf_addf(error, "binding %s for `%s`: not of the form host:port", listen, name);
        return RUSM_EINVAL;
    }
    const struct addrinfo hints = {
        .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
        .ai_socktype = SOCK_STREAM,
    };
    struct addrinfo *found;
    int code = getaddrinfo(address.host, address.port, &hints, &found);
    if (code != 0) {
        rusm__buf_addf(error, "binding %s for `%s`: %s (use an address that this machine has)",
                       listen, name, gai_strerror(code));
        return RUSM_EINVAL;
    }
    int failed = bind_first(listener, found, count);
    freeaddrinfo(found);
    if (failed)
        return explain(error, name, listen, failed);
    listener->url = url_of(listener->gates[0].fd);
    if (listener->url)
        return RUSM_OK;
    rusm__listener_close_sockets(listener, count);
    return explain(error, name, listen, ENOMEM);
}
