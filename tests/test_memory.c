/* test_memory.c - the n-th allocation fails, for each n: whoever asked for it says so, leaves nothing behind, and what is on
 * disk stays whole.
 *
 * Allocations of our own objects fail (alloc_kit.h); those of libzmq, which aborts then, of LMDB and of the C library do not. A
 * story is told again and again, with one allocation later each time, until it comes to its end without asking for so many.
 *
 *   NASFARM_MEMORY_STEP    of long stories every so-many-th allocation (as each of them allows); 1: every one
 *   NASFARM_MEMORY_SEEDS   farms that are simulated for each of broker, worker and controller (3)
 */
#include <check.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alloc_kit.h"
#include "broker.h"
#include "care.h"
#include "farm_kit.h"
#include "farm_loop.h"
#include "graph.h"
#include "log.h"
#include "search_kit.h"
#include "simulation/world.h"
#include "space.h"
#include "store.h"
#include "supervisor_loop.h"
#include "wire.h"

static char folder[256], dir[300], other[300];
static struct why why;
static struct injections { /* of all tests: Check runs each in a process of its own */
    uint64_t stories, allocations;
} * injections;

static void make_folder(void)
{
    kit_folder(folder, sizeof folder, "memory");
    (void)snprintf(dir, sizeof dir, "%s/run", folder);
    (void)snprintf(other, sizeof other, "%s/copy", folder);
    log_open("test_memory", LOG_ERROR + 1);
}

static void remove_folder(void)
{
    kit_remove(folder);
}

static uint64_t step(uint64_t otherwise)
{
    return kit_number("NASFARM_MEMORY_STEP", otherwise);
}

/* Tells the story with the nth allocation failing, the (nth + every)th, ... ; `burst` of them in a row. It may end well, or with
 * FARM_ENOMEM and a sentence, and must leave nothing behind. Then `after` looks at what it left on disk; NULL: it left nothing. */
static void each_allocation(const char *name, uint64_t every, uint64_t burst, int (*story)(void *),
                            void (*after)(int rc, uint64_t n), void *ctx)
{
    uint64_t failed = 1, stories = 0, before = injections->allocations;

    for (uint64_t n = 1; failed > 0; n += every) {
        size_t live = alloc_live();
        int rc;

        why.text[0] = '\0';
        alloc_fail(n, burst);
        rc = story(ctx);
        failed = alloc_failed();
        alloc_fail(0, 0);
        alloc_pause();
        injections->allocations += failed;
        stories += failed > 0;
        ck_assert_msg(rc == FARM_OK || failed > 0, "%s: without a failure: %s: %s", name,
                      farm_strerror(rc), why.text);
        ck_assert_msg(rc == FARM_OK || rc == FARM_ENOMEM, "%s, allocation %" PRIu64 ": %s: %s",
                      name, n, farm_strerror(rc), why.text);
        ck_assert_msg(alloc_live() == live, "%s, allocation %" PRIu64 " (%s): %zd blocks are left",
                      name, n, farm_strerror(rc), (ssize_t)(alloc_live() - live));
        if (after != NULL)
            after(rc, n);
    }
    injections->stories += stories;
    printf("memory: %s, told %" PRIu64 " times, %" PRIu64
           " allocations failed: 0 crashes, 0 blocks left\n",
           name, stories, injections->allocations - before);
}

/* ---------------------------------------------------------------- codec */

static void *context, *router, *dealer;

static void open_sockets(void)
{
    context = zmq_ctx_new();
    router = zmq_socket(context, ZMQ_ROUTER);
    dealer = zmq_socket(context, ZMQ_DEALER);
    ck_assert_int_eq(wire_socket_options(router, ZMQ_ROUTER, &why), FARM_OK);
    ck_assert_int_eq(wire_socket_options(dealer, ZMQ_DEALER, &why), FARM_OK);
    ck_assert_int_eq(zmq_bind(router, "inproc://memory"), 0);
    ck_assert_int_eq(zmq_connect(dealer, "inproc://memory"), 0);
}

static void close_sockets(void)
{
    zmq_close(router);
    zmq_close(dealer);
    zmq_ctx_term(context);
}

/* One of each kind, with everything in it that it can have. Its lists are ours. */
static void fill_message(struct wire_message *m, enum wire_kind kind)
{
    static struct wire_lease leases[3] = {{.key = {1, 2, 3}, .lease = 4, .running = true},
                                          {.key = {1, 5, 0}, .lease = 6, .progress = 7},
                                          {.key = {1, 8, WIRE_RUNG_FINAL}, .lease = 9}};
    static struct wire_peer_status peers[2] = {{.role = WIRE_WORKER, .name = "a", .slots = 2},
                                               {.role = WIRE_CONTROLLER, .name = "b"}};
    static const struct wire_data data = {.name = "digits", .h = 8, .w = 8, .c = 1, .classes = 10};

    wire_message_init(m, kind);
    switch (kind) {
    case WIRE_HELLO:
        m->u.hello = (struct wire_hello){.role = WIRE_WORKER,
                                         .name = "w",
                                         .slots = 2,
                                         .n_data = 1,
                                         .n_leases = 3,
                                         .leases = leases};
        m->u.hello.data[0] = data;
        break;
    case WIRE_REFUSE:
        m->u.refuse = (struct wire_refuse){REFUSE_HELLO_FIRST, "say hello first"};
        break;
    case WIRE_WINDOW:
        m->u.window = (struct wire_window){.window = 3, .slots = 2, .n_data = 1};
        m->u.window.data[0] = data;
        break;
    case WIRE_PUBLISH:
        m->u.publish = (struct wire_publish){.key = {1, 2, 0}};
        wire_names_add(&m->u.publish.avoid, "w");
        break;
    case WIRE_TASK: m->u.task = leases[0]; break;
    case WIRE_RESULT:
    case WIRE_PROGRESS:
        m->u.result = (struct wire_result){.lease = leases[0], .worker = "w"};
        break;
    case WIRE_STATUS:
        m->u.status = (struct wire_status){.workers = 1, .n_peers = 2, .peers = peers};
        break;
    case WIRE_WELCOME:
        m->u.welcome = (struct wire_welcome){.broker = 1, .heartbeat_ms = 2, .lease_ms = 20};
        break;
    case WIRE_BUSY:
    case WIRE_ACK:
    case WIRE_HEARTBEAT:
    case WIRE_REVOKE:
    case WIRE_CANCEL:
    case WIRE_RETURN: m->u.leases = (struct wire_leases){.n = 3, .leases = leases}; break;
    default: break;
    }
    if (kind == WIRE_PUBLISH || kind == WIRE_TASK || kind == WIRE_RESULT || kind == WIRE_PROGRESS) {
        (void)zmq_msg_init_size(&m->payload, 500);
        memset(zmq_msg_data(&m->payload), 'p', 500);
    }
}

static int send_and_receive(void *ctx)
{
    enum wire_kind kind = *(enum wire_kind *)ctx;
    zmq_pollitem_t item = {router, 0, ZMQ_POLLIN, 0};
    struct wire_message m, got;
    zmq_msg_t from;
    int rc;

    fill_message(&m, kind);
    rc = wire_send(dealer, NULL, &m);
    (void)zmq_msg_close(&m.payload);
    if (rc != FARM_OK)
        return rc;
    zmq_msg_init(&from);
    (void)zmq_poll(&item, 1, 5000);
    if ((rc = wire_recv(router, &from, &got, &why)) == FARM_OK) {
        if (got.kind != kind)
            rc = FARM_EWIRE;
        wire_message_release(&got);
    }
    zmq_msg_close(&from);
    return rc;
}

START_TEST(messages)
{
    open_sockets();
    for (int kind = WIRE_HELLO; kind < WIRE_KIND_END; kind++) {
        enum wire_kind k = (enum wire_kind)kind;

        each_allocation(wire_kind_name(k), 1, 1, send_and_receive, NULL, &k);
        each_allocation(wire_kind_name(k), 1, 100, send_and_receive, NULL, &k);
    }
    close_sockets();
}
END_TEST

static int task_and_back(void *ctx)
{
    struct task task = {.data = "digits",
                        .seed = 3,
                        .graph = (const uint8_t *)"graph",
                        .graph_len = 5},
                got;
    struct digest digest;
    uint8_t *bytes = NULL;
    size_t len = 0;
    void *hold = NULL;
    int rc;

    (void)ctx;
    recipe_init(&task.recipe);
    task.architecture = "|a~0|";
    if ((rc = task_pack(&task, &bytes, &len)) == FARM_OK &&
        (rc = task_unpack(&got, &hold, bytes, len, &why)) == FARM_OK)
        rc = recipe_digest(&got.recipe, &digest);
    free(hold);
    free(bytes);
    return rc;
}

static int result_and_back(void *ctx)
{
    struct result result = {.outcome = OUTCOME_CRASHED,
                            .fitness = NAN,
                            .reason = "it was to crash",
                            .isa = "avx2"},
                  got;
    struct progress progress = {.epoch = 1, .epochs = 3, .accuracy = 0.5}, on_the_way;
    uint8_t *bytes = NULL;
    size_t len = 0;
    int rc;

    (void)ctx;
    if ((rc = result_pack(&result, &bytes, &len)) == FARM_OK)
        rc = result_unpack(&got, bytes, len, &why);
    free(bytes);
    bytes = NULL;
    if (rc == FARM_OK && (rc = progress_pack(&progress, &bytes, &len)) == FARM_OK)
        rc = progress_unpack(&on_the_way, bytes, len, &why);
    free(bytes);
    return rc;
}

/* From a space's name to a network, to bytes, and to a network again. */
static int network_and_back(void *ctx)
{
    struct space_config config = {.input = {32, 32, 3}, .classes = 10};
    struct space *space = NULL;
    struct genome *genome = NULL;
    struct graph *graph = NULL, *again = NULL;
    struct graph_cost cost;
    struct digest hash;
    uint8_t *bytes = NULL;
    char *notation = NULL;
    size_t len = 0;
    int rc;

    (void)snprintf(config.name, sizeof config.name, "%s", (const char *)ctx);
    if ((rc = space_open(&space, &config, &why)) != FARM_OK)
        return rc;
    if ((genome = genome_create(space->n_dims)) == NULL)
        rc = FARM_ENOMEM;
    if (rc == FARM_OK && (rc = space_decode(space, genome, &graph, &why)) == FARM_OK &&
        (rc = graph_hash(graph, &hash)) == FARM_OK && (rc = graph_cost(graph, &cost)) == FARM_OK &&
        (rc = graph_pack(graph, &bytes, &len)) == FARM_OK &&
        (rc = graph_unpack(&again, bytes, len, &why)) == FARM_OK &&
        (notation = space_notation(space, genome)) == NULL)
        rc = FARM_ENOMEM;
    free(notation);
    free(bytes);
    graph_destroy(&again);
    graph_destroy(&graph);
    free(genome);
    space_close(&space);
    return rc;
}

START_TEST(tasks_results_and_networks)
{
    static const char *const spaces[] = {"nasbench201", "darts", "mnasnet"};

    each_allocation("a task", 1, 1, task_and_back, NULL, NULL);
    each_allocation("a result", 1, 1, result_and_back, NULL, NULL);
    for (size_t i = 0; i < sizeof spaces / sizeof spaces[0]; i++)
        each_allocation(spaces[i], step(19), 1, network_and_back, NULL, (void *)spaces[i]);
}
END_TEST

/* ---------------------------------------------------------------- store */

static int put_things(struct store *store, struct genome *genome)
{
    struct trial_record record = {
        .state = TRIAL_PROPOSED, .parent = UINT64_MAX, .known_from = UINT64_MAX, .genome = genome};
    struct event event = {
        .kind = EVENT_PROPOSED, .parent = UINT64_MAX, .genome = genome, .known_from = UINT64_MAX};
    int rc = store_begin(store, &why);

    for (record.trial = 0; record.trial < 5 && rc == FARM_OK; record.trial++) {
        event.trial = record.trial;
        record.state = record.trial < 3 ? TRIAL_DONE : TRIAL_PROPOSED;
        record.result.outcome = OUTCOME_OK;
        record.result.fitness = 0.1 * (double)record.trial;
        record.hash.bytes[0] = (uint8_t)record.trial;
        if ((rc = store_append_event(store, &event)) == FARM_OK)
            rc = store_put_trial(store, &record);
    }
    if (rc == FARM_OK && (rc = store_put_blob(store, "weights", "12345", 5)) == FARM_OK &&
        (rc = store_set_population(store, 0, 1, 0.5)) == FARM_OK &&
        (rc = store_put_snapshot(store, 5, (const uint8_t *)"state", 5)) == FARM_OK)
        rc = store_commit(store, &why);
    return rc;
}

static bool see_event(const struct event *event, void *ctx)
{
    (void)event;
    ++*(uint64_t *)ctx;
    return true;
}

static bool see_trial(const struct trial_record *record, void *ctx)
{
    (void)record;
    ++*(uint64_t *)ctx;
    return true;
}

static int read_things(struct store *store)
{
    struct trial_record record;
    uint64_t seq, seen = 0;
    uint8_t *bytes = NULL;
    size_t len;
    char *text = NULL;
    int rc;

    if ((rc = store_get_trial(store, 1, &record)) == FARM_OK)
        trial_record_release(&record);
    if (rc == FARM_OK && (rc = store_get_blob(store, "weights", &bytes, &len)) == FARM_OK)
        free(bytes);
    if (rc == FARM_OK && (rc = store_get_snapshot(store, &seq, &bytes, &len)) == FARM_OK)
        free(bytes);
    if (rc == FARM_OK && (rc = store_get_meta(store, "config", &text)) == FARM_OK)
        free(text);
    if (rc == FARM_OK && (rc = store_each_event(store, 0, see_event, &seen, &why)) == FARM_OK)
        rc = store_each_trial(store, 0, see_trial, &seen, &why);
    return rc == FARM_OK && seen != 10 ? FARM_ENOTFOUND : rc;
}

static int write_and_read(void *ctx)
{
    struct genome *genome = genome_create(6);
    struct store_check check;
    struct store *store = NULL;
    uint64_t was, is;
    int rc = genome == NULL ? FARM_ENOMEM : store_create(&store, dir, "{}", NULL, &why);

    (void)ctx;
    if (rc == FARM_OK && (rc = put_things(store, genome)) == FARM_OK)
        rc = read_things(store);
    store_close(&store);
    free(genome);
    if (rc == FARM_OK && (rc = store_open(&store, dir, STORE_READ, NULL, &why)) == FARM_OK)
        rc = read_things(store);
    store_close(&store);
    if (rc == FARM_OK && (rc = store_verify(dir, NULL, NULL, &check, &why)) == FARM_OK &&
        (rc = store_backup(dir, other, &check, &why)) == FARM_OK)
        rc = store_compact(dir, &was, &is, &why);
    return rc;
}

/* All of it, or nothing. */
static void all_or_nothing(int rc, uint64_t n)
{
    struct store *store = NULL;

    if (store_open(&store, dir, STORE_READ, NULL, &why) == FARM_OK) {
        ck_assert_msg(store_n_events(store) == 0 || store_n_events(store) == 5,
                      "allocation %" PRIu64 ": %" PRIu64 " events", n, store_n_events(store));
        ck_assert(rc != FARM_OK || store_n_events(store) == 5);
    }
    store_close(&store);
    kit_remove(dir);
    kit_remove(other);
}

START_TEST(a_store_written_read_verified_copied)
{
    each_allocation("a store", 1, 1, write_and_read, all_or_nothing, NULL);
    each_allocation("a store, then none", 1, 1000000, write_and_read, all_or_nothing, NULL);
}
END_TEST

/* ---------------------------------------------------------------- a search over it */

#define TRIALS 12
static struct digest undisturbed;

static int whole_search(void *ctx)
{
    struct search_kit kit = {.experiment = NULL};
    int rc = search_kit_create(&kit, dir, TRIALS, &why);

    (void)ctx;
    if (rc == FARM_OK)
        rc = search_kit_run(&kit, &why);
    search_kit_close(&kit);
    return rc;
}

/* Whoever opens it again, with memory, ends as if nothing had been. */
static void ends_the_same(int rc, uint64_t n)
{
    struct search_kit kit;
    struct digest got;
    int opened = search_kit_open(&kit, dir, &why);

    (void)rc;
    if (opened == FARM_ENOTFOUND)
        return kit_remove(dir);
    ck_assert_msg(opened == FARM_OK, "allocation %" PRIu64 ": %s", n, why.text);
    ck_assert_msg(search_kit_run(&kit, &why) == FARM_OK, "allocation %" PRIu64 ": %s", n, why.text);
    search_kit_close(&kit);
    ck_assert_msg(search_kit_digest(dir, &got, &why) == FARM_OK, "%s", why.text);
    ck_assert_msg(memcmp(&got, &undisturbed, sizeof got) == 0,
                  "allocation %" PRIu64 ": it ends otherwise", n);
    kit_remove(dir);
}

static int open_and_close(void *ctx)
{
    struct search_kit kit = {.experiment = NULL};
    int rc = search_kit_open(&kit, dir, &why);

    (void)ctx;
    search_kit_close(&kit);
    return rc;
}

static int replay(void *ctx)
{
    struct digest got;

    (void)ctx;
    return search_kit_digest(dir, &got, &why);
}

START_TEST(a_search_goes_on_from_what_is_on_disk)
{
    alloc_pause();
    ck_assert_int_eq(whole_search(NULL), FARM_OK);
    ck_assert_int_eq(search_kit_digest(dir, &undisturbed, &why), FARM_OK);
    each_allocation("a search opened", step(1), 1, open_and_close, NULL, NULL);
    each_allocation("a search replayed", step(3), 1, replay, NULL, NULL);
    kit_remove(dir);
    each_allocation("a search", step(11), 1, whole_search, ends_the_same, NULL);
}
END_TEST

/* ---------------------------------------------------------------- the loops of broker, worker and controller */

static uint32_t victim;

static void guest_enters(uint32_t party)
{
    if (party == victim)
        alloc_resume();
    else
        alloc_pause();
}

static bool guest_excuses(uint32_t party)
{
    return party == victim && alloc_failed() > 0;
}

static const struct world_guest guest = {guest_enters, alloc_pause, guest_excuses};

/* A farm in one thread (world.h), in which nothing goes wrong but this. */
static int simulate(void *ctx)
{
    struct world_result result;
    struct plan plan;

    alloc_pause();
    plan_draw(&plan, *(uint64_t *)ctx, 8);
    plan.n_faults = 0;
    world_run(&plan, dir, NULL, &result);
    ck_assert_msg(result.violation[0] == '\0', "seed %" PRIu64 ": %s", *(uint64_t *)ctx,
                  result.violation);
    return FARM_OK;
}

static void lose_memory_in(uint32_t party, const char *name, uint64_t every, uint64_t burst)
{
    world_guest = &guest;
    victim = party;
    for (uint64_t seed = 1; seed <= kit_number("NASFARM_MEMORY_SEEDS", 3); seed++)
        each_allocation(name, every, burst, simulate, NULL, &seed);
    world_guest = NULL;
}

START_TEST(a_broker_without_memory_loses_nothing)
{
    lose_memory_in(PARTY_BROKER, "a broker", step(1), 1);
    lose_memory_in(PARTY_BROKER, "a broker, 20 in a row", step(5), 20);
}
END_TEST

START_TEST(a_worker_without_memory_loses_nothing)
{
    lose_memory_in(PARTY_WORKER, "a worker", step(1), 1);
    lose_memory_in(PARTY_WORKER, "a worker, 20 in a row", step(3), 20);
}
END_TEST

START_TEST(a_controller_without_memory_loses_nothing)
{
    lose_memory_in(PARTY_CONTROLLER, "a controller", step(7), 1);
    lose_memory_in(PARTY_CONTROLLER, "a controller, 20 in a row", step(23), 20);
}
END_TEST

/* ---------------------------------------------------------------- their sockets */

static int make_broker(void *ctx)
{
    struct broker_config config = {
        .listen = {"tcp://127.0.0.1:*"}, .n_listen = 1, .metrics = "127.0.0.1:0"};
    struct broker *broker = NULL;
    int rc;

    (void)ctx;
    ledger_config_init(&config.ledger);
    rc = broker_create(&broker, &config, &why);
    broker_destroy(&broker);
    return rc;
}

static int make_worker(void *ctx)
{
    struct supervisor_options options = {.broker = "tcp://127.0.0.1:1",
                                         .name = "w",
                                         .slots = 2,
                                         .ahead = 1,
                                         .synthetic = true,
                                         .metrics = "127.0.0.1:0"};
    struct supervisor_loop *loop = NULL;
    int rc = supervisor_loop_create(&loop, &options, &why);

    (void)ctx;
    if (rc == FARM_OK)
        supervisor_loop_destroy(&loop);
    return rc;
}

static int make_controller(void *ctx)
{
    struct farm_options options = {.endpoint = "tcp://127.0.0.1:1", .name = "c", .experiment = 1};
    struct farm_loop *loop = NULL;
    int rc = farm_loop_create(&loop, &options, &why);

    (void)ctx;
    if (rc == FARM_OK)
        farm_loop_destroy(&loop);
    return rc;
}

START_TEST(programs_that_cannot_even_begin)
{
    each_allocation("a broker's start", 1, 1, make_broker, NULL, NULL);
    each_allocation("a worker's start", 1, 1, make_worker, NULL, NULL);
    each_allocation("a controller's start", 1, 1, make_controller, NULL, NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory");
    TCase *tc = tcase_create("memory");
    SRunner *runner;
    int failed;

    injections =
        mmap(NULL, sizeof *injections, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (injections == MAP_FAILED)
        return 1;
    tcase_add_checked_fixture(tc, make_folder, remove_folder);
    tcase_set_timeout(tc, 0); /* ctest's holds */
    tcase_add_test(tc, messages);
    tcase_add_test(tc, tasks_results_and_networks);
    tcase_add_test(tc, a_store_written_read_verified_copied);
    tcase_add_test(tc, a_search_goes_on_from_what_is_on_disk);
    tcase_add_test(tc, a_broker_without_memory_loses_nothing);
    tcase_add_test(tc, a_worker_without_memory_loses_nothing);
    tcase_add_test(tc, a_controller_without_memory_loses_nothing);
    tcase_add_test(tc, programs_that_cannot_even_begin);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    printf("memory: in all, %" PRIu64 " injections, of %" PRIu64 " allocations\n",
           injections->stories, injections->allocations);
    failed += injections->stories == 0; /* else no call was wrapped */
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
