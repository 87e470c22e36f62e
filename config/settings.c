#include "config/settings.h"

#include "config/config.h"
#include "config/secret.h"
#include "core/mem.h"

static void free_relay(struct settings_relay *r)
{
    mem_free(r->name);
    mem_free(r->url);
    mem_free(r->host);
    mem_free(r->username);
    mem_free(r->ca_file);
    secret_free(r->password);
}

void settings_destroy(struct settings *settings)
{
    if (settings == NULL)
        return;
    for (size_t i = 0; i < settings->listen_count; i++) {
        mem_free(settings->listen[i].address);
        mem_free(settings->listen[i].path);
    }
    for (size_t i = 0; i < settings->relay_count; i++)
        free_relay(&settings->relays[i]);
    for (size_t i = 0; i < settings->route_count; i++) {
        mem_free(settings->routes[i].name);
        mem_free(settings->routes[i].relays);
        mem_free(settings->routes[i].weights);
    }
    mem_free(settings->listen);
    mem_free(settings->relays);
    mem_free(settings->routes);
    mem_free(settings->spool.path);
    mem_free(settings->hostname);
    mem_free(settings->log_level);
    mem_free(settings);
}
