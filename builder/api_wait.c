/* Requests that wait until the fleet has a change. */
#include "builder/api_shell.h"

#include "base/clock.h"
#include "builder/core.h"
#include "builder/core_fleet.h"

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <poll.h>

#define LOOK_MS 250                 /* whose time is over, and whose peer is gone */

/* evhttp does not look at a connection whose request is being answered. */
static bool peer_is_gone(const struct asked *q)
{
    struct evhttp_connection *evcon = evhttp_request_get_connection(q->req);
    if (evcon == NULL)
        return true;
    struct pollfd p = { .fd = bufferevent_getfd(evhttp_connection_get_bufferevent(evcon)), .events = POLLRDHUP };
    return p.fd < 0 || (poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0);
}

static void look_later(struct api_waits *w, uint64_t now_ms)
{
    uint64_t ms = LOOK_MS;
    for (const struct asked *q = w->parked; q != NULL; q = q->next) {
        uint64_t left = q->until_ms > now_ms ? q->until_ms - now_ms : 0;
        ms = left < ms ? left : ms;
    }
    const struct timeval tv = { 0, (suseconds_t)ms * 1000 };
    if (w->parked == NULL || (w->look_ms != 0 && w->look_ms <= now_ms + ms))
        return;                     /* never later than it stands: who comes must not hold it off */
    w->look_ms = now_ms + ms;
    (void)event_add(w->look, &tv);
}

static struct fleet *fleet_of(struct api_http *a)
{
    return core_fleet_look(a->o.core->fleet);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct api_http *a = arg;
    struct asked **at = &a->waits.parked, *q;
    struct fleet *fleet = fleet_of(a);
    uint64_t now_ms = clock_mono_ms();
    (void)fd, (void)what;
    a->waits.look_ms = 0;
    while ((q = *at) != NULL) {
        if (!api_changes(&q->call, fleet, clock_mono_us(), now_ms >= q->until_ms || peer_is_gone(q))) {
            at = &q->next;
            continue;
        }
        *at = q->next;
        a->waits.n--;
        api_http_reply(q);
    }
    look_later(&a->waits, now_ms);
}

void api_http_moved(struct api_http *a)
{
    if (a->waits.parked != NULL)
        event_active(a->waits.look, EV_TIMEOUT, 0);
}

bool api_waits_park(struct api_http *a, struct asked *q)
{
    struct api_waits *w = &a->waits;
    uint64_t now_ms = clock_mono_ms();
    bool full = w->n == API_PARKED_MAX, made = q->call.wait;     /* what is made must not be answered with an error */
    if (api_changes(&q->call, fleet_of(a), clock_mono_us(), q->call.changes.wait_ms == 0 || (full && made)))
        return true;
    if (full) {
        api_fail(&q->call, 503, "too many requests wait for changes; ask again without wait, or later");
        return true;
    }
    http_server_hold(a->server, q->req);
    q->until_ms = now_ms + q->call.changes.wait_ms;
    q->next = w->parked;
    w->parked = q;
    w->n++;
    look_later(w, now_ms);
    return false;
}

void api_waits_end(struct api_http *a)
{
    while (a->waits.parked != NULL) {
        struct asked *q = a->waits.parked;
        a->waits.parked = q->next;
        a->waits.n--;
        if (q->call.wait)
            (void)api_changes(&q->call, fleet_of(a), clock_mono_us(), true);
        else
            api_fail(&q->call, 503, "the core is ending");
        api_http_reply(q);
    }
}

MUST_USE enum err api_waits_open(struct api_http *a)
{
    return (a->waits.look = event_new(a->o.base, -1, 0, on_look, a)) != NULL ? OK : ERR_NOMEM;
}

void api_waits_close(struct api_http *a)
{
    if (a->waits.look != NULL)
        event_free(a->waits.look);
}
