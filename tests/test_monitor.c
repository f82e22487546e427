/* What a program tells over HTTP: the text that Prometheus reads, judged by its own promtool, and a server that lives in
 * somebody else's loop and survives whoever connects to it. */
#include <check.h>
#include <math.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor.h"

/* ---- the text ------------------------------------------------------------------------------------------------- */

START_TEST(a_family_is_its_help_its_type_and_its_values)
{
    struct metrics m;

    metrics_init(&m);
    metrics_family(&m, "trials_failed_total", METRICS_COUNTER, "Trials that failed.");
    metrics_value(&m, "trials_failed_total", "reason=\"timeout\"", 3);
    metrics_gauge(&m, "best_fitness", "Of the best.", 0.125);
    ck_assert_str_eq(m.text, "# HELP trials_failed_total Trials that failed.\n"
                             "# TYPE trials_failed_total counter\n"
                             "trials_failed_total{reason=\"timeout\"} 3\n"
                             "# HELP best_fitness Of the best.\n"
                             "# TYPE best_fitness gauge\n"
                             "best_fitness 0.125\n");
    metrics_release(&m);
}
END_TEST

START_TEST(what_is_not_a_number_is_written_as_prometheus_has_it)
{
    struct metrics m;

    metrics_init(&m);
    metrics_value(&m, "a", NULL, (double)NAN);
    metrics_value(&m, "a", NULL, (double)INFINITY);
    metrics_value(&m, "a", NULL, -(double)INFINITY);
    metrics_value(&m, "a", NULL, 123456789012345.0);
    ck_assert_str_eq(m.text, "a NaN\na +Inf\na -Inf\na 123456789012345\n");
    metrics_release(&m);
}
END_TEST

START_TEST(a_histogram_counts_each_bucket_with_all_below_it)
{
    struct histogram h = {{0}, 0};
    struct metrics m;

    histogram_add(&h, 0.00005);
    histogram_add(&h, 0.5);
    histogram_add(&h, 1); /* a bound belongs to its bucket */
    histogram_add(&h, 1e6);
    histogram_add(&h, -1);
    histogram_add(&h, (double)NAN);
    ck_assert_uint_eq(histogram_count(&h), 5);
    metrics_init(&m);
    metrics_histogram(&m, "x_seconds", "X.", &h);
    ck_assert_ptr_nonnull(strstr(m.text, "x_seconds_bucket{le=\"0.0001\"} 2\n"));
    ck_assert_ptr_nonnull(strstr(m.text, "x_seconds_bucket{le=\"0.3\"} 2\n"));
    ck_assert_ptr_nonnull(strstr(m.text, "x_seconds_bucket{le=\"1\"} 4\n"));
    ck_assert_ptr_nonnull(strstr(m.text, "x_seconds_bucket{le=\"10800\"} 4\n"));
    ck_assert_ptr_nonnull(strstr(m.text,
                                 "x_seconds_bucket{le=\"+Inf\"} 5\nx_seconds_sum 1000001.50005\n"
                                 "x_seconds_count 5\n"));
    metrics_release(&m);
}
END_TEST

/* ---- the server ----------------------------------------------------------------------------------------------- */

static struct monitor *monitor;
static atomic_bool over;
static char address[40];
static int readiness;

static void pages_metrics(struct metrics *out, void *ctx)
{
    struct histogram h = {{1, 2, 3}, 0.5};

    (void)ctx;
    metrics_gauge(out, "farm_slots", "Slots.", 4);
    metrics_counter(out, "farm_done_total", "Done.", 12345);
    metrics_histogram(out, "farm_wait_seconds", "Waits.", &h);
    for (int i = 0; i < 2000; i++) { /* more than one packet */
        char name[40];

        (void)snprintf(name, sizeof name, "farm_filler_%d", i);
        metrics_gauge(out, name, "Fills.", i);
    }
}

static int pages_ready(void *ctx, struct why *why)
{
    (void)ctx;
    return readiness == FARM_OK ? FARM_OK : why_set(why, readiness, "no broker answers yet");
}

/* The program around it: a loop that sleeps in poll(). */
static void *loop(void *unused)
{
    int64_t ms = 100;

    while (!over) {
        struct pollfd fd = {monitor_fd(monitor), POLLIN, 0};

        (void)poll(&fd, 1, (int)ms);
        ms = monitor_turn(monitor, 100);
    }
    return unused;
}

static pthread_t thread;

static void serve(void)
{
    const struct monitor_pages pages = {pages_metrics, pages_ready, NULL};
    struct why why = {""};

    readiness = FARM_OK;
    over = false;
    ck_assert_msg(monitor_open(&monitor, "127.0.0.1:0", &pages, &why) == FARM_OK, "%s", why.text);
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", monitor_port(monitor));
    ck_assert_int_eq(pthread_create(&thread, NULL, loop, NULL), 0);
}

static void stop_serving(void)
{
    over = true;
    pthread_join(thread, NULL);
    monitor_close(&monitor);
}

static int connected(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(monitor_port(monitor)),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* Sends the request and returns all that comes back, malloc'd. */
static char *exchange(const char *request)
{
    size_t used = 0, room = 1 << 20;
    char *text = calloc(1, room);
    int fd = connected();
    ssize_t n;

    ck_assert_int_eq(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
    while ((n = recv(fd, text + used, room - 1 - used, 0)) > 0)
        used += (size_t)n;
    close(fd);
    return text;
}

START_TEST(pages_are_there_and_nothing_else)
{
    struct why why = {""};

    ck_assert_int_eq(monitor_ask(address, "/healthz", 5000, &why), FARM_OK);
    ck_assert_int_eq(monitor_ask(address, "/readyz", 5000, &why), FARM_OK);
    ck_assert_int_eq(monitor_ask(address, "/metrics", 5000, &why), FARM_OK);
    ck_assert_int_eq(monitor_ask(address, "/", 5000, &why), FARM_EBUSY);
    ck_assert_str_eq(why.text, "there are /metrics, /healthz and /readyz");
}
END_TEST

START_TEST(who_is_not_ready_says_why)
{
    struct why why = {""};

    readiness = FARM_ENET;
    ck_assert_int_eq(monitor_ask(address, "/readyz", 5000, &why), FARM_EBUSY);
    ck_assert_str_eq(why.text, "no broker answers yet");
    ck_assert_int_eq(monitor_ask(address, "/healthz", 5000, &why), FARM_OK);
}
END_TEST

START_TEST(only_reading_is_allowed)
{
    char *text = exchange("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
                          "Connection: close\r\n\r\nabc");

    ck_assert_msg(strncmp(text, "HTTP/1.1 405", 12) == 0, "%.60s", text);
    free(text);
    text = exchange("HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    ck_assert_msg(strncmp(text, "HTTP/1.1 200", 12) == 0, "%.60s", text);
    free(text);
}
END_TEST

START_TEST(silent_rude_and_too_many_visitors_stop_nobody)
{
    static const char *const garbage[] = {"\r\n\r\n\r\n", "GET\r\n\r\n", "\xff\xfe\x01\x02",
                                          "GET /metrics HTTP/1.1\r\nHost: x\r\n"};
    int fds[8];
    struct why why = {""};

    for (size_t i = 0; i < 8; i++) { /* half a request, and never the rest */
        fds[i] = connected();
        ck_assert_int_gt(send(fds[i], garbage[i % 4], strlen(garbage[i % 4]), 0), 0);
    }
    for (int i = 0; i < 100; i++) /* away in the middle of the answer */
        close(connected());
    ck_assert_msg(monitor_ask(address, "/metrics", 5000, &why) == FARM_OK, "%s", why.text);
    for (size_t i = 0; i < 8; i++)
        close(fds[i]);
}
END_TEST

START_TEST(promtool_accepts_the_page)
{
    char *text = exchange("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    const char *body = strstr(text, "\r\n\r\n");
    FILE *judge;

    ck_assert_ptr_nonnull(body);
    ck_assert_ptr_nonnull(strstr(body, "farm_filler_1999 1999\n"));
    if (system("promtool --version >/dev/null 2>&1") != 0) {
        fprintf(stderr, "test_monitor: NOT JUDGED BY PROMTOOL: there is none here "
                        "(apt-get install prometheus)\n");
    } else {
        ck_assert_ptr_nonnull(judge = popen("promtool check metrics >&2", "w"));
        fputs(body + 4, judge);
        ck_assert_int_eq(pclose(judge), 0);
    }
    free(text);
}
END_TEST

/* ---- addresses ------------------------------------------------------------------------------------------------ */

START_TEST(an_address_that_is_none_gets_a_sentence)
{
    static const char *const wrong[] = {
        "", "9464", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:70000", "127.0.0.1:-1"};
    const struct monitor_pages pages = {pages_metrics, NULL, NULL};
    struct monitor *none = NULL;
    struct why why;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        why.text[0] = '\0';
        ck_assert_int_eq(monitor_open(&none, wrong[i], &pages, &why), FARM_EINPUT);
        ck_assert_ptr_null(none);
        ck_assert_msg(strstr(why.text, "must be ADDRESS:PORT") != NULL, "%s", why.text);
    }
}
END_TEST

START_TEST(an_address_in_use_is_said)
{
    const struct monitor_pages pages = {pages_metrics, NULL, NULL};
    struct monitor *second = NULL;
    struct why why = {""};

    ck_assert_int_eq(monitor_open(&second, address, &pages, &why), FARM_ENET);
    ck_assert_msg(strstr(why.text, "cannot listen on 127.0.0.1:") != NULL, "%s", why.text);
}
END_TEST

START_TEST(nobody_there_is_said)
{
    struct why why = {""};

    ck_assert_int_eq(monitor_ask("127.0.0.1:1", "/healthz", 1000, &why), FARM_ENET);
    ck_assert_msg(strstr(why.text, "nothing answers at 127.0.0.1:1") != NULL, "%s", why.text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("monitor");
    TCase *text = tcase_create("text"), *server = tcase_create("server");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(text, a_family_is_its_help_its_type_and_its_values);
    tcase_add_test(text, what_is_not_a_number_is_written_as_prometheus_has_it);
    tcase_add_test(text, a_histogram_counts_each_bucket_with_all_below_it);
    tcase_add_test(text, an_address_that_is_none_gets_a_sentence);
    tcase_add_test(text, nobody_there_is_said);
    tcase_add_checked_fixture(server, serve, stop_serving);
    tcase_set_timeout(server, 60);
    tcase_add_test(server, pages_are_there_and_nothing_else);
    tcase_add_test(server, who_is_not_ready_says_why);
    tcase_add_test(server, only_reading_is_allowed);
    tcase_add_test(server, silent_rude_and_too_many_visitors_stop_nobody);
    tcase_add_test(server, promtool_accepts_the_page);
    tcase_add_test(server, an_address_in_use_is_said);
    suite_add_tcase(suite, text);
    suite_add_tcase(suite, server);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
