#include "tests/unit/smtp/fake_dns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/clock.h"

#define WAIT_MS 10000

void fake_dns_open(struct fake_dns *dns, const char *const *texts)
{
    *dns = (struct fake_dns){.texts = texts};
    mutex_init(&dns->lock);
    cond_init(&dns->change);
}

void fake_dns_close(struct fake_dns *dns)
{
    fake_dns_set(dns, NULL, false);
    mutex_lock(&dns->lock);
    while (dns->running > 0)
        cond_wait(&dns->change, &dns->lock);
    mutex_unlock(&dns->lock);
    cond_fini(&dns->change);
    mutex_fini(&dns->lock);
}

void fake_dns_set(struct fake_dns *dns, const char *const *texts, bool hangs)
{
    mutex_lock(&dns->lock);
    dns->texts = texts;
    dns->hangs = hangs;
    cond_broadcast(&dns->change);
    mutex_unlock(&dns->lock);
}

void fake_dns_await(struct fake_dns *dns, unsigned calls)
{
    int64_t until_ms = clock_mono_ms(clock_system()) + WAIT_MS;
    bool in_time = true;
    mutex_lock(&dns->lock);
    while (dns->calls < calls && in_time)
        in_time = cond_wait_until(&dns->change, &dns->lock, until_ms);
    mutex_unlock(&dns->lock);
    assert_true(in_time);
}

unsigned fake_dns_calls(struct fake_dns *dns)
{
    mutex_lock(&dns->lock);
    unsigned calls = dns->calls;
    mutex_unlock(&dns->lock);
    return calls;
}

enum err_code fake_dns_resolve(void *ctx, const char *host,
                               struct smtp_address_list *out, struct err *err)
{
    struct fake_dns *dns = ctx;
    enum err_code code = ERR_NONE;
    mutex_lock(&dns->lock);
    dns->calls++;
    dns->running++;
    cond_broadcast(&dns->change);
    while (dns->hangs)
        cond_wait(&dns->change, &dns->lock);
    out->count = 0;
    for (size_t i = 0; dns->texts != NULL && dns->texts[i] != NULL; i++)
        (void)snprintf(out->texts[out->count++], SMTP_ADDRESS_TEXT_MAX, "%s",
                       dns->texts[i]);
    if (dns->texts == NULL)
        code = err_set(err, ERR_NOT_FOUND, "there is no \"%s\"", host);
    dns->running--;
    cond_broadcast(&dns->change);
    mutex_unlock(&dns->lock);
    return code;
}
