#include "config/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/str.h"

static enum err_code check_secret(struct str secret, const char *where,
                                  struct err *err)
{
    if (secret.len == 0)
        return err_set(err, ERR_INVALID, "%s is empty: put the password there",
                       where);
    if (secret.len > SECRET_MAX_BYTES)
        return err_set(err, ERR_INVALID, "%s has more than %d bytes", where,
                       SECRET_MAX_BYTES);
    for (size_t i = 0; i < secret.len; i++)
        if (secret.data[i] == '\0' || secret.data[i] == '\r' ||
            secret.data[i] == '\n')
            return err_set(err, ERR_INVALID,
                           "%s must have one line with the password and "
                           "nothing else (no NUL, CR or second line)",
                           where);
    return ERR_NONE;
}

/* Whether fd is a plain file that is not open to everybody. */
static enum err_code check_file(int fd, const char *path, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return err_system(err, errno, "cannot look at %s", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, "%s is no plain file", path);
    if ((st.st_mode & (S_IROTH | S_IWOTH)) != 0)
        return err_set(err, ERR_DENIED,
                       "%s is open to everybody (mode %04o): chmod 600 it",
                       path, (unsigned)st.st_mode & 07777U);
    return ERR_NONE;
}

/* Up to size bytes into out; *len is how many. */
static enum err_code read_up_to(int fd, const char *path, char *out,
                                size_t size, size_t *len, struct err *err)
{
    *len = 0;
    while (*len < size) {
        ssize_t n = read(fd, out + *len, size - *len);
        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            return err_system(err, errno, "cannot read %s", path);
        *len += n > 0 ? (size_t)n : 0;
    }
    return ERR_NONE;
}

static char *copy_secret(struct str secret)
{
    char *copy = mem_alloc(secret.len + 1);
    memcpy(copy, secret.data, secret.len);
    copy[secret.len] = '\0';
    return copy;
}

enum err_code secret_from_file(const char *path, char **out, struct err *err)
{
    char bytes[SECRET_MAX_BYTES + 2];
    size_t len = 0;
    /* Without waiting for the other end, if it is a pipe. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_system(err, errno, "cannot open %s", path);
    enum err_code code = check_file(fd, path, err);
    if (code == ERR_NONE)
        code = read_up_to(fd, path, bytes, sizeof(bytes), &len, err);
    (void)close(fd);
    if (len > 0 && len < sizeof(bytes) && bytes[len - 1] == '\n')
        len--;
    if (code == ERR_NONE)
        code = check_secret(str_of(bytes, len), path, err);
    if (code == ERR_NONE)
        *out = copy_secret(str_of(bytes, len));
    explicit_bzero(bytes, sizeof(bytes));
    return code;
}

enum err_code secret_from_env(const char *name, char **out, struct err *err)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nothing here ever calls setenv */
    const char *value = getenv(name);
    if (value == NULL)
        return err_set(err, ERR_NOT_FOUND,
                       "the environment variable %s is not set", name);
    enum err_code code = check_secret(str_from(value), name, err);
    if (code == ERR_NONE)
        *out = copy_secret(str_from(value));
    return code;
}

void secret_free(char *secret)
{
    if (secret == NULL)
        return;
    explicit_bzero(secret, strlen(secret));
    mem_free(secret);
}
