/* wire_head.c - each head between its plain struct and protobuf. protobuf-c's types stay in this file.
 * Lists that were allocated for a received message are freed by wire_head_release(). */
#include "wire_head.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "farm.pb-c.h"
#include "unpack.h"

#define MAX_LIST (LIMIT_SLOTS * 4) /* leases in one message */

/* ---- packing -------------------------------------------------------------------------------------- */

static int pack_message(const ProtobufCMessage *m, zmq_msg_t *head)
{
    size_t len = protobuf_c_message_get_packed_size(m);

    if (len > LIMIT_HEAD_BYTES)
        return FARM_EWIRE;
    if (zmq_msg_init_size(head, len) < 0)
        return FARM_ENOMEM;
    (void)protobuf_c_message_pack(m, zmq_msg_data(head));
    return FARM_OK;
}

static void lease_to(Nasfarm__Lease *m, const struct wire_lease *l)
{
    nasfarm__lease__init(m);
    m->experiment = l->key.experiment;
    m->trial = l->key.trial;
    m->rung = l->key.rung;
    m->lease = l->lease;
    m->progress = l->progress;
    m->running = l->running;
}

/* One block: the pointers, then the messages. NULL when out of memory, or when n is 0. */
static Nasfarm__Lease **leases_to(const struct wire_lease *leases, size_t n)
{
    Nasfarm__Lease **list =
        n > 0 ? malloc(n * (sizeof(struct _Nasfarm__Lease *) + sizeof **list)) : NULL;
    Nasfarm__Lease *messages;

    if (list == NULL)
        return NULL;
    messages = (Nasfarm__Lease *)(list + n);
    for (size_t i = 0; i < n; i++) {
        lease_to(&messages[i], &leases[i]);
        list[i] = &messages[i];
    }
    return list;
}

static void data_to(Nasfarm__Data *m, const struct wire_data *d)
{
    nasfarm__data__init(m);
    m->name = (char *)d->name; /* protobuf-c only reads it */
    m->fingerprint = d->fingerprint;
    m->height = d->h;
    m->width = d->w;
    m->channels = d->c;
    m->classes = d->classes;
    m->n_train = d->n_train;
    m->n_test = d->n_test;
}

struct data_list {
    Nasfarm__Data messages[WIRE_DATA_MAX];
    Nasfarm__Data *list[WIRE_DATA_MAX];
};

static void data_list_to(struct data_list *out, const struct wire_data *data, size_t n)
{
    for (size_t i = 0; i < n && i < WIRE_DATA_MAX; i++) {
        data_to(&out->messages[i], &data[i]);
        out->list[i] = &out->messages[i];
    }
}

static int pack_hello(const struct wire_hello *h, zmq_msg_t *head)
{
    Nasfarm__Hello m = NASFARM__HELLO__INIT;
    Nasfarm__Lease **leases = leases_to(h->leases, h->n_leases);
    struct data_list data;
    int rc;

    if (leases == NULL && h->n_leases > 0)
        return FARM_ENOMEM;
    data_list_to(&data, h->data, h->n_data);
    m.role = h->role;
    m.name = (char *)h->name; /* protobuf-c only reads these */
    m.version = (char *)h->version;
    m.data_name = (char *)h->data_name;
    m.incarnation = h->incarnation;
    m.slots = h->slots;
    m.ahead = h->ahead;
    m.experiment = h->experiment;
    m.demand = h->demand;
    m.n_data = h->n_data;
    m.data = data.list;
    m.n_leases = h->n_leases;
    m.leases = leases;
    rc = pack_message(&m.base, head);
    free(leases);
    return rc;
}

static int pack_welcome(const struct wire_welcome *w, zmq_msg_t *head)
{
    Nasfarm__Welcome m = NASFARM__WELCOME__INIT;

    m.broker = w->broker;
    m.heartbeat_ms = w->heartbeat_ms;
    m.lease_ms = w->lease_ms;
    m.version = (char *)w->version;
    return pack_message(&m.base, head);
}

static int pack_refuse(const struct wire_refuse *r, zmq_msg_t *head)
{
    Nasfarm__Refuse m = NASFARM__REFUSE__INIT;

    m.code = r->code;
    m.sentence = (char *)r->sentence;
    return pack_message(&m.base, head);
}

/* protobuf-c only reads them. */
static size_t names_to(char *out[WIRE_NAMES_MAX], const struct wire_names *names)
{
    for (size_t i = 0; i < names->n; i++)
        out[i] = (char *)names->name[i];
    return names->n;
}

static int pack_publish(const struct wire_publish *p, zmq_msg_t *head)
{
    Nasfarm__Publish m = NASFARM__PUBLISH__INIT;
    char *avoid[WIRE_NAMES_MAX], *never[WIRE_NAMES_MAX];

    m.experiment = p->key.experiment;
    m.trial = p->key.trial;
    m.rung = p->key.rung;
    m.again = p->again;
    m.n_avoid = names_to(avoid, &p->avoid);
    m.avoid = avoid;
    m.n_never = names_to(never, &p->never);
    m.never = never;
    return pack_message(&m.base, head);
}

static int pack_window(const struct wire_window *w, zmq_msg_t *head)
{
    Nasfarm__Window m = NASFARM__WINDOW__INIT;
    struct data_list data;

    data_list_to(&data, w->data, w->n_data);
    m.window = w->window;
    m.workers = w->workers;
    m.slots = w->slots;
    m.busy = w->busy;
    m.queued = w->queued;
    m.n_data = w->n_data;
    m.data = data.list;
    return pack_message(&m.base, head);
}

static int pack_result(const struct wire_result *r, zmq_msg_t *head)
{
    Nasfarm__ResultHead m = NASFARM__RESULT_HEAD__INIT;
    Nasfarm__Lease lease;

    lease_to(&lease, &r->lease);
    m.lease = &lease;
    m.worker = (char *)r->worker;
    return pack_message(&m.base, head);
}

static int pack_leases(const struct wire_leases *l, zmq_msg_t *head)
{
    Nasfarm__Leases m = NASFARM__LEASES__INIT;
    Nasfarm__Lease **leases = leases_to(l->leases, l->n);
    int rc;

    if (leases == NULL && l->n > 0)
        return FARM_ENOMEM;
    m.demand = l->demand;
    m.n_leases = l->n;
    m.leases = leases;
    m.sentence = (char *)l->sentence;
    rc = pack_message(&m.base, head);
    free(leases);
    return rc;
}

static int pack_status(const struct wire_status *s, zmq_msg_t *head)
{
    Nasfarm__Status m = NASFARM__STATUS__INIT;
    Nasfarm__PeerStatus *peers = s->n_peers > 0 ? malloc(s->n_peers * sizeof *peers) : NULL;
    Nasfarm__PeerStatus **list =
        s->n_peers > 0 ? malloc(s->n_peers * sizeof(Nasfarm__PeerStatus *)) : NULL;
    int rc = FARM_ENOMEM;

    if (s->n_peers > 0 && (peers == NULL || list == NULL))
        goto out;
    for (size_t i = 0; i < s->n_peers; i++) {
        const struct wire_peer_status *p = &s->peers[i];

        nasfarm__peer_status__init(&peers[i]);
        peers[i].role = p->role;
        peers[i].name = (char *)p->name;
        peers[i].slots = p->slots;
        peers[i].busy = p->busy;
        peers[i].held = p->held;
        peers[i].done = p->done;
        peers[i].silent_ms = p->silent_ms;
        peers[i].draining = p->draining;
        list[i] = &peers[i];
    }
    m.uptime_ms = s->uptime_ms;
    m.done = s->done;
    m.failed_sends = s->failed_sends;
    m.requeued = s->requeued;
    m.malformed = s->malformed;
    m.duplicates = s->duplicates;
    m.workers = s->workers;
    m.slots = s->slots;
    m.busy = s->busy;
    m.queued = s->queued;
    m.controllers = s->controllers;
    m.busy_share = s->busy_share;
    m.n_peers = s->n_peers;
    m.peers = list;
    rc = pack_message(&m.base, head);
out:
    free(peers);
    free(list);
    return rc;
}

int wire_head_pack(const struct wire_message *message, zmq_msg_t *head)
{
    switch (message->kind) {
    case WIRE_HELLO: return pack_hello(&message->u.hello, head);
    case WIRE_WELCOME: return pack_welcome(&message->u.welcome, head);
    case WIRE_REFUSE: return pack_refuse(&message->u.refuse, head);
    case WIRE_PUBLISH: return pack_publish(&message->u.publish, head);
    case WIRE_WINDOW: return pack_window(&message->u.window, head);
    case WIRE_TASK: {
        Nasfarm__Lease m;

        lease_to(&m, &message->u.task);
        return pack_message(&m.base, head);
    }
    case WIRE_RESULT:
    case WIRE_PROGRESS: return pack_result(&message->u.result, head);
    case WIRE_ACK:
    case WIRE_HEARTBEAT:
    case WIRE_REVOKE:
    case WIRE_CANCEL:
    case WIRE_RETURN:
    case WIRE_BUSY: return pack_leases(&message->u.leases, head);
    case WIRE_STATUS: return pack_status(&message->u.status, head);
    case WIRE_DRAIN:
    case WIRE_GOODBYE: return zmq_msg_init(head);
    case WIRE_KIND_END: break;
    }
    return FARM_EWIRE;
}

/* ---- unpacking ------------------------------------------------------------------------------------ */

static int take_name(char *out, const char *name, bool may_be_empty, const char *what,
                     struct why *why)
{
    if (!(may_be_empty && name[0] == '\0') && !wire_name_ok(name))
        return why_set(why, FARM_EWIRE, "%s is not 1 to %u of the characters A-Z a-z 0-9 . _ -",
                       what, LIMIT_NAME);
    memcpy(out, name, strlen(name) + 1);
    return FARM_OK;
}

static void take_sentence(char *out, size_t size, const char *from)
{
    (void)snprintf(out, size, "%s", from);
    for (char *p = out; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
}

static struct wire_lease lease_from(const Nasfarm__Lease *m)
{
    struct wire_lease l = {.key = {m->experiment, m->trial, m->rung},
                           .lease = m->lease,
                           .progress = m->progress,
                           .running = m->running};

    return l;
}

static int leases_from(struct wire_lease **out, size_t *n_out, Nasfarm__Lease *const *list,
                       size_t n, struct why *why)
{
    if (n > MAX_LIST)
        return why_set(why, FARM_EWIRE, "a list of %zu leases: at most %u", n, MAX_LIST);
    if (n > 0 && (*out = malloc(n * sizeof **out)) == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for %zu leases", n);
    for (size_t i = 0; i < n; i++)
        (*out)[i] = lease_from(list[i]);
    *n_out = n;
    return FARM_OK;
}

static int data_from(struct wire_data *out, size_t *n_out, Nasfarm__Data *const *list, size_t n,
                     struct why *why)
{
    int rc = FARM_OK;

    if (n > WIRE_DATA_MAX)
        return why_set(why, FARM_EWIRE, "%zu data sets: at most %d", n, WIRE_DATA_MAX);
    for (size_t i = 0; i < n && rc == FARM_OK; i++) {
        rc = take_name(out[i].name, list[i]->name, false, "the name of a data set", why);
        out[i].fingerprint = list[i]->fingerprint;
        out[i].h = list[i]->height;
        out[i].w = list[i]->width;
        out[i].c = list[i]->channels;
        out[i].classes = list[i]->classes;
        out[i].n_train = list[i]->n_train;
        out[i].n_test = list[i]->n_test;
    }
    *n_out = n;
    return rc;
}

static int take_hello(struct wire_hello *out, const Nasfarm__Hello *m, struct why *why)
{
    int rc;

    if (m->role < WIRE_CONTROLLER || m->role > WIRE_OBSERVER)
        return why_set(why, FARM_EWIRE,
                       "a HELLO with role %u: must be 1 (controller), 2 (worker) or 3 (observer)",
                       m->role);
    out->role = (enum wire_role)m->role;
    if (out->role == WIRE_WORKER &&
        (m->slots < 1 || m->slots > LIMIT_SLOTS || m->ahead > LIMIT_SLOTS))
        return why_set(why, FARM_EWIRE, "a worker with %u slots and %u ahead: 1 to %u and 0 to %u",
                       m->slots, m->ahead, LIMIT_SLOTS, LIMIT_SLOTS);
    if ((rc = take_name(out->name, m->name, false, "the name in a HELLO", why)) != FARM_OK ||
        (rc = take_name(out->data_name, m->data_name, true, "the data set in a HELLO", why)) !=
            FARM_OK ||
        (rc = data_from(out->data, &out->n_data, m->data, m->n_data, why)) != FARM_OK)
        return rc;
    take_sentence(out->version, sizeof out->version, m->version);
    out->incarnation = m->incarnation;
    out->slots = m->slots;
    out->ahead = m->ahead;
    out->experiment = m->experiment;
    out->demand = m->demand;
    return leases_from(&out->leases, &out->n_leases, m->leases, m->n_leases, why);
}

static int take_leases(struct wire_leases *out, const Nasfarm__Leases *m, struct why *why)
{
    out->demand = m->demand;
    take_sentence(out->sentence, sizeof out->sentence, m->sentence);
    return leases_from(&out->leases, &out->n, m->leases, m->n_leases, why);
}

static int take_result(struct wire_result *out, const Nasfarm__ResultHead *m, struct why *why)
{
    if (m->lease == NULL)
        return why_set(why, FARM_EWIRE, "a result without its lease");
    out->lease = lease_from(m->lease);
    return take_name(out->worker, m->worker, true, "the worker of a result", why);
}

static int take_window(struct wire_window *out, const Nasfarm__Window *m, struct why *why)
{
    out->window = m->window;
    out->workers = m->workers;
    out->slots = m->slots;
    out->busy = m->busy;
    out->queued = m->queued;
    return data_from(out->data, &out->n_data, m->data, m->n_data, why);
}

static int take_status(struct wire_status *out, const Nasfarm__Status *m, struct why *why)
{
    if (m->n_peers > WIRE_STATUS_MAX)
        return why_set(why, FARM_EWIRE, "the status of %zu peers: at most %d", m->n_peers,
                       WIRE_STATUS_MAX);
    *out = (struct wire_status){.uptime_ms = m->uptime_ms,
                                .done = m->done,
                                .failed_sends = m->failed_sends,
                                .requeued = m->requeued,
                                .malformed = m->malformed,
                                .duplicates = m->duplicates,
                                .workers = m->workers,
                                .slots = m->slots,
                                .busy = m->busy,
                                .queued = m->queued,
                                .controllers = m->controllers,
                                .busy_share = m->busy_share};
    if (m->n_peers > 0 && (out->peers = calloc(m->n_peers, sizeof *out->peers)) == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for the status of %zu peers", m->n_peers);
    out->n_peers = m->n_peers;
    for (size_t i = 0; i < m->n_peers; i++) {
        const Nasfarm__PeerStatus *p = m->peers[i];
        struct wire_peer_status *o = &out->peers[i];
        int rc = take_name(o->name, p->name, false, "the name of a peer", why);

        if (rc != FARM_OK)
            return rc;
        o->role = (enum wire_role)p->role;
        o->slots = p->slots;
        o->busy = p->busy;
        o->held = p->held;
        o->done = p->done;
        o->silent_ms = p->silent_ms;
        o->draining = p->draining;
    }
    return FARM_OK;
}

static const ProtobufCMessageDescriptor *head_type(enum wire_kind kind)
{
    switch (kind) {
    case WIRE_HELLO: return &nasfarm__hello__descriptor;
    case WIRE_WELCOME: return &nasfarm__welcome__descriptor;
    case WIRE_REFUSE: return &nasfarm__refuse__descriptor;
    case WIRE_PUBLISH: return &nasfarm__publish__descriptor;
    case WIRE_WINDOW: return &nasfarm__window__descriptor;
    case WIRE_TASK: return &nasfarm__lease__descriptor;
    case WIRE_RESULT:
    case WIRE_PROGRESS: return &nasfarm__result_head__descriptor;
    case WIRE_ACK:
    case WIRE_HEARTBEAT:
    case WIRE_REVOKE:
    case WIRE_CANCEL:
    case WIRE_RETURN:
    case WIRE_BUSY: return &nasfarm__leases__descriptor;
    case WIRE_STATUS: return &nasfarm__status__descriptor;
    case WIRE_DRAIN:
    case WIRE_GOODBYE:
    case WIRE_KIND_END: break;
    }
    return NULL;
}

/* An empty one is none, as it was when there could be only one. */
static int take_names(struct wire_names *out, char *const *names, size_t n, struct why *why)
{
    int rc = FARM_OK;

    if (n > WIRE_NAMES_MAX)
        return why_set(why, FARM_EWIRE, "a PUBLISH with %zu workers to avoid: at most %d", n,
                       WIRE_NAMES_MAX);
    for (size_t i = 0; i < n && rc == FARM_OK; i++)
        if (names[i][0] != '\0')
            rc = take_name(out->name[out->n++], names[i], false, "a worker to avoid", why);
    return rc;
}

static int take_publish(struct wire_publish *out, const Nasfarm__Publish *m, struct why *why)
{
    int rc;

    *out = (struct wire_publish){.key = {m->experiment, m->trial, m->rung}, .again = m->again};
    rc = take_names(&out->avoid, m->avoid, m->n_avoid, why);
    return rc == FARM_OK ? take_names(&out->never, m->never, m->n_never, why) : rc;
}

static int take_head(struct wire_message *out, const ProtobufCMessage *m, struct why *why)
{
    switch (out->kind) {
    case WIRE_HELLO: return take_hello(&out->u.hello, (const Nasfarm__Hello *)m, why);
    case WIRE_WELCOME: {
        const Nasfarm__Welcome *w = (const Nasfarm__Welcome *)m;

        out->u.welcome.broker = w->broker;
        out->u.welcome.heartbeat_ms = w->heartbeat_ms;
        out->u.welcome.lease_ms = w->lease_ms;
        take_sentence(out->u.welcome.version, sizeof out->u.welcome.version, w->version);
        return FARM_OK;
    }
    case WIRE_REFUSE: {
        const Nasfarm__Refuse *r = (const Nasfarm__Refuse *)m;

        out->u.refuse.code = (enum wire_refusal)r->code;
        take_sentence(out->u.refuse.sentence, sizeof out->u.refuse.sentence, r->sentence);
        return FARM_OK;
    }
    case WIRE_PUBLISH: return take_publish(&out->u.publish, (const Nasfarm__Publish *)m, why);
    case WIRE_WINDOW: return take_window(&out->u.window, (const Nasfarm__Window *)m, why);
    case WIRE_TASK: out->u.task = lease_from((const Nasfarm__Lease *)m); return FARM_OK;
    case WIRE_RESULT:
    case WIRE_PROGRESS: return take_result(&out->u.result, (const Nasfarm__ResultHead *)m, why);
    case WIRE_ACK:
    case WIRE_HEARTBEAT:
    case WIRE_REVOKE:
    case WIRE_CANCEL:
    case WIRE_RETURN:
    case WIRE_BUSY: return take_leases(&out->u.leases, (const Nasfarm__Leases *)m, why);
    case WIRE_STATUS: return take_status(&out->u.status, (const Nasfarm__Status *)m, why);
    case WIRE_DRAIN:
    case WIRE_GOODBYE:
    case WIRE_KIND_END: break;
    }
    return FARM_OK;
}

int wire_head_unpack(struct wire_message *message, const void *bytes, size_t len, struct why *why)
{
    const ProtobufCMessageDescriptor *type = head_type(message->kind);
    struct unpack_budget budget;
    ProtobufCMessage *m;
    int rc;

    if (len > LIMIT_HEAD_BYTES)
        return why_set(why, FARM_EWIRE, "%s with a head of %zu bytes: at most %u",
                       wire_kind_name(message->kind), len, LIMIT_HEAD_BYTES);
    if (type ==
        NULL) /* DRAIN, GOODBYE: an empty head, and what a later version may put there is not for us */
        return FARM_OK;
    unpack_budget_init(&budget, LIMIT_UNPACK_BYTES);
    if ((m = protobuf_c_message_unpack(type, &budget.allocator, len, bytes)) == NULL)
        return (rc = unpack_budget_error(&budget, why)) != FARM_OK
                   ? rc
                   : why_set(why, FARM_EWIRE,
                             "%s with a head of %zu bytes that is no protobuf message",
                             wire_kind_name(message->kind), len);
    rc = take_head(message, m, why);
    protobuf_c_message_free_unpacked(m, &budget.allocator);
    return rc;
}

void wire_head_release(struct wire_message *message)
{
    switch (message->kind) {
    case WIRE_HELLO: free(message->u.hello.leases); break;
    case WIRE_ACK:
    case WIRE_HEARTBEAT:
    case WIRE_REVOKE:
    case WIRE_CANCEL:
    case WIRE_RETURN:
    case WIRE_BUSY: free(message->u.leases.leases); break;
    case WIRE_STATUS: free(message->u.status.peers); break;
    default: break;
    }
}
