#include "tests/support/scratch.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

void scratch_open(struct scratch *s)
{
    const char *base = getenv("TMPDIR");
    int len = snprintf(s->folder, sizeof(s->folder), "%s/postrider-test-XXXXXX",
                       base != NULL ? base : "/tmp");
    assert_true(len > 0 && (size_t)len < sizeof(s->folder));
    assert_non_null(mkdtemp(s->folder));
}

void scratch_close(struct scratch *s)
{
    DIR *folder = opendir(s->folder);
    assert_non_null(folder);
    for (const struct dirent *e = readdir(folder); e != NULL;
         e = readdir(folder))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            (void)unlink(scratch_path(s, e->d_name));
    (void)closedir(folder);
    assert_int_equal(rmdir(s->folder), 0);
}

const char *scratch_path(struct scratch *s, const char *name)
{
    int len = snprintf(s->path, sizeof(s->path), "%s/%s", s->folder, name);
    assert_true(len > 0 && (size_t)len < sizeof(s->path));
    return s->path;
}

const char *scratch_write(struct scratch *s, const char *name, const void *data,
                          size_t len, mode_t mode)
{
    const char *path = scratch_path(s, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
    return path;
}
