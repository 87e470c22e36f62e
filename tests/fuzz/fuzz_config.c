/* A config file of any bytes: read or refused, never a crash or a leak. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *__lsan_default_suppressions(void);

/*
 * libconfig 1.5 loses a string that it has read when a syntax error follows.
 * Leaks of ours fail the unit tests, which have no such exception.
 */
const char *__lsan_default_suppressions(void)
{
    return "leak:libconfig.so\n";
}

static void check_lines(struct str text)
{
    while (text.len > 0) {
        struct str line = str_of(text.data, str_find(text, '\n'));
        if (line.len == text.len || str_find(line, ':') == line.len)
            abort(); /* a problem without file, line or end */
        text = str_after(text, line.len + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    struct settings *settings = NULL;
    struct buf problems;
    struct buf warnings;
    int fd = memfd_create("config", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    buf_init(&problems, 1 << 20);
    buf_init(&warnings, 1 << 20);
    enum err_code code = config_load(path, &settings, &problems, &warnings);
    if ((code == ERR_NONE) != (problems.len == 0) ||
        (code == ERR_NONE) != (settings != NULL))
        abort();
    check_lines(buf_str(&problems));
    check_lines(buf_str(&warnings));
    settings_destroy(settings);
    buf_fini(&problems);
    buf_fini(&warnings);
    (void)close(fd);
    return 0;
}
