#ifndef CORE_PANIC_H
#define CORE_PANIC_H

#include <stdbool.h>

/*
 * For bugs of ours only, in every build: says where and what on stderr, then
 * aborts. Nothing that a peer, a client, a file or the machine can do may
 * lead here, save the failure of a small allocation (mem.h).
 */
#define PANIC(...) panic_at(__FILE__, __LINE__, __VA_ARGS__)

#define PANIC_IF(condition)                                                    \
    do {                                                                       \
        if (condition)                                                         \
            panic_at(__FILE__, __LINE__, "%s", #condition);                    \
    } while (0)

_Noreturn void panic_at(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
