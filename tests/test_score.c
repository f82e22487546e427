/* test_score.c - zero-cost proxies: the numbers of hand-worked networks, gradients against differences, what is refused. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy.h"
#include "rng.h"
#include "score_inside.h"

static struct why why;

static struct graph *graph_of(uint32_t side, uint32_t c, uint32_t classes)
{
    struct graph *g = NULL;

    ck_assert_int_eq(graph_create(&g, (struct graph_shape){side, side, c}, classes, &why), FARM_OK);
    return g;
}

static uint32_t linear(struct graph *g, uint32_t in, uint32_t channels, const char *name)
{
    struct graph_node node = {.op = GRAPH_LINEAR, .channels = channels};

    return graph_add(g, &node, &in, 1, name);
}

static void finish(struct graph *g, uint32_t output)
{
    ck_assert_msg(graph_finish(g, output, &why) == FARM_OK, "%s", why.text);
}

static double score(enum proxy proxy, const struct graph *g, const struct score_batch *batch)
{
    double out = NAN;

    ck_assert_msg(score_network(&out, proxy, g, batch, 1, 0, &why) == FARM_OK, "%s", why.text);
    return out;
}

/* ---- small matrices ---- */

START_TEST(jacob_cov_of_rows_that_are_worked_out_by_hand)
{
    const float correlated[] = {1, 2, 3, 4, 2, 1, 4, 3}; /* r = 0.6, eigenvalues 1.6 and 0.4 */
    const float apart[] = {1, 1, -1, -1, 1, -1, 1, -1};
    const float same[] = {1, 2, 3, 4, 1, 2, 3, 4};
    const float flat[] = {1, 1, 1, 1, 1, 2, 3, 4};

    ck_assert_double_eq_tol(spectrum_jacob_cov(correlated, 2, 4), -2.678678, 2e-5);
    ck_assert_double_eq_tol(spectrum_jacob_cov(apart, 2, 4), -2.0, 1e-6);
    ck_assert_double_lt(spectrum_jacob_cov(same, 2, 4), -9e4);
    ck_assert_double_nan(spectrum_jacob_cov(flat, 2, 4));
}
END_TEST

START_TEST(eigenvalues_have_the_trace_and_the_determinant)
{
    double a[36], b[36], values[6], trace = 0, sum = 0, log_product = 0;
    struct rng rng;

    rng_seed(&rng, 3);
    for (int i = 0; i < 6; i++)
        for (int j = 0; j <= i; j++)
            a[i * 6 + j] = a[j * 6 + i] = rng_normal(&rng);
    memcpy(b, a, sizeof b);
    for (int i = 0; i < 6; i++)
        trace += a[i * 7];
    spectrum_eigenvalues(values, a, 6);
    for (int i = 0; i < 6; i++) {
        sum += values[i];
        log_product += log(fabs(values[i]));
    }
    ck_assert_double_eq_tol(sum, trace, 1e-9);
    ck_assert_double_eq_tol(spectrum_logdet(b, 6), log_product, 1e-9);
}
END_TEST

/* ---- whole networks ---- */

/* Its weights are set below: the engine's first values would be as good, but nobody has worked them out. */
static struct graph *two_weights(void)
{
    struct graph *g = graph_of(1, 2, 2);

    finish(g, linear(g, 0, 2, "head"));
    return g;
}

static const float x12[] = {1, 2};
static const uint16_t class0[] = {0};
static const struct score_batch one_image = {x12, class0, 1};

/* What the engine draws for seed 1: W (c_in, c_out). */
static void weights_of(const struct graph *g, const char *name, double *to, size_t n)
{
    struct net_config config = {.batch = 1, .seed = 1};
    struct net *net = NULL;

    ck_assert_int_eq(net_create(&net, g, &config, &why), FARM_OK);
    for (size_t i = 0; i < net_n_params(net); i++)
        if (strcmp(net_param(net, i)->name, name) == 0)
            for (size_t k = 0; k < n; k++)
                to[k] = (double)net_param(net, i)->value[k];
    net_destroy(&net);
}

/* Of z = x W, softmax and cross-entropy with class 0, in double. */
struct by_hand {
    double grad_norm, snip, plain, grasp;
};

static struct by_hand work_out(const double w[4], const double x[2])
{
    double z0 = x[0] * w[0] + x[1] * w[2], z1 = x[0] * w[1] + x[1] * w[3];
    double p1 = 1 / (1 + exp(z0 - z1)), p0 = 1 - p1, d[2] = {-p1, p1};
    double x2 = x[0] * x[0] + x[1] * x[1], hd = p0 * p1 * (d[1] - d[0]) * x2;
    struct by_hand out = {.grad_norm = sqrt(2 * p1 * p1 * x2)};

    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2; k++) {
            out.plain += w[2 * i + k] * d[k] * x[i];
            out.snip += fabs(w[2 * i + k] * d[k] * x[i]);
            out.grasp -= w[2 * i + k] * (k == 0 ? -hd : hd) * x[i];
        }
    return out;
}

START_TEST(the_double_reference_is_that_of_the_hand_worked_layer)
{
    const double w[] = {0.5, 0.2, -0.5, 0.1}, x[] = {1, 2};
    struct by_hand expected = work_out(w, x);

    ck_assert_double_eq_tol(expected.grad_norm, 2.2482197, 1e-6);
    ck_assert_double_eq_tol(expected.snip, 1.3508041, 1e-6);
    ck_assert_double_eq_tol(expected.plain, 0.6398545, 1e-6);
    /* -9 p0 p1^2: H g = 2 p0 p1^2 |x|^2 (-x, x), and w0 x - w1 x = -0.9 */
    ck_assert_double_eq_tol(expected.grasp, -9 * 0.2890505 * 0.7109495 * 0.7109495, 1e-5);
}
END_TEST

START_TEST(one_layer_gives_what_the_double_reference_gives)
{
    const double x[] = {1, 2};
    struct graph *g = two_weights();
    struct by_hand expected;
    double w[4] = {0};

    weights_of(g, "head.weight", w, 4);
    expected = work_out(w, x);
    ck_assert_double_eq_tol(score(PROXY_GRAD_NORM, g, &one_image), expected.grad_norm, 1e-5);
    ck_assert_double_eq_tol(score(PROXY_PLAIN, g, &one_image), expected.plain, 1e-5);
    ck_assert_double_eq_tol(score(PROXY_SNIP, g, &one_image), expected.snip, 1e-5);
    ck_assert_double_eq_tol(score(PROXY_GRASP, g, &one_image), expected.grasp,
                            2e-4 * fabs(expected.grasp));
    ck_assert_double_eq(score(PROXY_PARAMS, g, &one_image), 4);
    ck_assert_double_eq(score(PROXY_MACS, g, &one_image), 4);
    graph_destroy(&g);
}
END_TEST

/* Without biases each layer contributes R. R itself is the product of absolute weights along all ways, summed. */
START_TEST(synflow_is_layers_times_the_flow)
{
    struct graph *g = graph_of(1, 2, 1);
    uint32_t at = linear(g, 0, 2, "a");
    double a[4] = {0}, b[2] = {0}, flow = 0;

    finish(g, linear(g, graph_relu(g, at), 1, "b"));
    weights_of(g, "a.weight", a, 4);
    weights_of(g, "b.weight", b, 2);
    for (int k = 0; k < 2; k++)
        flow += (fabs(a[k]) + fabs(a[2 + k])) * fabs(b[k]);
    ck_assert_double_eq_tol(score(PROXY_SYNFLOW, g, &one_image), log(2 * flow), 1e-5);
    graph_destroy(&g);
}
END_TEST

/* W1 = [[1,-2],[3,.5]] and W2 = [.5,-1] for images of ones: R = 5, two layers. */
START_TEST(synflow_of_given_weights_is_ten)
{
    struct graph *g = graph_of(1, 2, 1);
    const float first[] = {1, 3, -2, 0.5f}, second[] = {0.5f, -1};
    uint32_t at = linear(g, 0, 2, "a");
    struct net_config config = {.batch = 1, .mode = NET_TRAIN};
    struct net *net = NULL;

    finish(g, linear(g, at, 1, "b"));
    ck_assert_int_eq(net_create(&net, g, &config, &why), FARM_OK);
    for (size_t i = 0; i < net_n_params(net); i++)
        memcpy(net_param(net, i)->value, i == 0 ? first : second,
               net_param(net, i)->n * sizeof(float));
    ck_assert_double_eq_tol(exp(synflow_of(net, g)), 10.0, 1e-5);
    net_destroy(&net);
    graph_destroy(&g);
}
END_TEST

/* Each layer of 64 multiplies the flow by about 64 * 0.5 / sqrt(64) = 4; 100 of them by 1e60, far outside of float. */
START_TEST(synflow_of_a_deep_network_stays_finite)
{
    struct graph *g = graph_of(1, 64, 10);
    uint32_t at = 0;
    char name[16];
    double deep;

    for (int i = 0; i < 100; i++) {
        (void)snprintf(name, sizeof name, "l%d", i);
        at = linear(g, at, 64, name);
    }
    finish(g, linear(g, at, 10, "head"));
    deep = score(PROXY_SYNFLOW, g, &one_image);
    ck_assert_double_gt(deep, 100 * log(4) - 5);
    ck_assert_double_lt(deep, 100 * log(4) + 20);
    graph_destroy(&g);
}
END_TEST

START_TEST(synflow_bypasses_batch_norms_and_relus)
{
    struct graph *with = graph_of(4, 3, 2), *without = graph_of(4, 3, 2);
    uint32_t a = graph_conv(with, 0, 4, 3, 1, 1, 1, "a");
    uint32_t b = graph_conv(without, 0, 4, 3, 1, 1, 1, "a");

    a = graph_relu(with, graph_batch_norm(with, a, true, "bn"));
    finish(with, graph_linear(with, graph_global_avg_pool(with, a), 2, "head"));
    finish(without, graph_linear(without, graph_global_avg_pool(without, b), 2, "head"));
    ck_assert_double_eq_tol(score(PROXY_SYNFLOW, with, &one_image),
                            score(PROXY_SYNFLOW, without, &one_image), 1e-5);
    graph_destroy(&with);
    graph_destroy(&without);
}
END_TEST

/* Each channel alone is a unit: the images are the codes. */
static struct graph *units(void)
{
    struct graph *g = graph_of(1, 4, 2);

    finish(g, linear(g, graph_relu(g, 0), 2, "head"));
    return g;
}

START_TEST(naswot_of_three_codes_is_the_logarithm_of_twenty)
{
    const float codes[] = {1, -1, 1, 1, 1, 1, -1, 1, -1, -1, 1, 1}; /* 1011, 1101, 0011 */
    const uint16_t labels[] = {0, 1, 0};
    const struct score_batch three = {codes, labels, 3};
    struct graph *g = units();

    ck_assert_double_eq_tol(score(PROXY_NASWOT, g, &three), 2.995732, 1e-6);
    graph_destroy(&g);
}
END_TEST

START_TEST(naswot_of_equal_images_is_minus_infinity)
{
    const float codes[] = {1, -1, 1, 1, 1, -1, 1, 1};
    const uint16_t labels[] = {0, 1};
    const struct score_batch two = {codes, labels, 2};
    struct graph *g = units();

    ck_assert(isinf(score(PROXY_NASWOT, g, &two)));
    graph_destroy(&g);
}
END_TEST

/* ---- gradients of images; ReLUs in every place ---- */

#define IMAGES 3
#define PIXELS (8 * 8 * 3)

/* Two branches that both read the images; the rest with batch norms and pools. */
static struct graph *branches(void)
{
    struct graph *g = graph_of(8, 3, 4);
    uint32_t a = graph_conv(g, 0, 6, 3, 1, 1, 1, "a"), b = graph_conv(g, 0, 6, 1, 1, 1, 1, "b");
    uint32_t c = graph_activation(g, GRAPH_SWISH, a);

    c = graph_sum(g, (uint32_t[]){c, b}, 2);
    c = graph_conv(g, graph_pool(g, GRAPH_AVG_POOL, c, 3, 2), 8, 3, 1, 1, 1, "c");
    c = graph_activation(g, GRAPH_SWISH, graph_batch_norm(g, c, true, "cn"));
    finish(g, graph_linear(g, graph_global_avg_pool(g, c), 4, "head"));
    return g;
}

static double sum_at(struct net *net, const float *images)
{
    memcpy(net_input(net), images, IMAGES * PIXELS * sizeof *images);
    (void)net_forward(net, IMAGES, true);
    return net_sum(net, 1);
}

START_TEST(the_gradient_of_images_is_what_differences_say)
{
    struct graph *g = branches();
    struct net_config config = {
        .batch = IMAGES, .mode = NET_TRAIN, .seed = 5, .image_gradient = true};
    float images[IMAGES * PIXELS], gradient[IMAGES * PIXELS];
    struct net *net = NULL;
    struct rng rng;

    rng_seed(&rng, 7);
    for (size_t k = 0; k < IMAGES * PIXELS; k++)
        images[k] = (float)rng_normal(&rng);
    ck_assert_int_eq(net_create(&net, g, &config, &why), FARM_OK);
    (void)sum_at(net, images);
    net_backward(net);
    ck_assert_ptr_nonnull(net_image_gradient(net));
    memcpy(gradient, net_image_gradient(net), sizeof gradient);
    for (int i = 0; i < 40; i++) {
        size_t k = (size_t)rng_below(&rng, IMAGES * PIXELS);
        float keep = images[k];
        double up, down;

        images[k] = keep + 0.02f;
        up = sum_at(net, images);
        images[k] = keep - 0.02f;
        down = sum_at(net, images);
        images[k] = keep;
        ck_assert_double_eq_tol((up - down) / 0.04, (double)gradient[k], 2e-3);
    }
    net_destroy(&net);
    graph_destroy(&g);
}
END_TEST

/* ---- determinism, refusals ---- */

static struct score_batch noise(float *images, uint16_t *labels)
{
    struct rng rng;

    rng_seed(&rng, 11);
    for (size_t k = 0; k < IMAGES * PIXELS; k++)
        images[k] = (float)rng_normal(&rng);
    for (uint16_t k = 0; k < IMAGES; k++)
        labels[k] = k;
    return (struct score_batch){images, labels, IMAGES};
}

static struct graph *small(void)
{
    struct graph *g = graph_of(8, 3, 4);
    uint32_t at = graph_batch_norm(g, graph_conv(g, 0, 6, 3, 1, 1, 1, "a"), true, "an");

    at = graph_relu(g, at);
    at = graph_sum(
        g, (uint32_t[]){at, graph_batch_norm(g, graph_conv(g, at, 6, 3, 1, 1, 1, "b"), true, "bn")},
        2);
    at = graph_dropout(g, GRAPH_DROPOUT, graph_global_avg_pool(g, graph_relu(g, at)), 0.5f);
    finish(g, graph_linear(g, at, 4, "head"));
    return g;
}

START_TEST(every_proxy_is_finite_and_the_same_twice_and_another_by_another_seed)
{
    float images[IMAGES * PIXELS];
    uint16_t labels[IMAGES];
    struct score_batch batch = noise(images, labels);
    struct graph *g = small();

    for (int p = PROXY_NONE + 1; p < PROXY_END; p++) {
        double first = score((enum proxy)p, g, &batch), other;

        ck_assert_msg(isfinite(first), "%s is %g", proxy_name((enum proxy)p), first);
        ck_assert_double_eq(score((enum proxy)p, g, &batch), first);
        ck_assert_int_eq(score_network(&other, (enum proxy)p, g, &batch, 2, 0, &why), FARM_OK);
        ck_assert_msg((first == other) == (p == PROXY_PARAMS || p == PROXY_MACS), "%s",
                      proxy_name((enum proxy)p));
    }
    graph_destroy(&g);
}
END_TEST

START_TEST(what_a_proxy_cannot_look_at_is_refused_in_a_sentence)
{
    struct graph *no_relu = two_weights(), *gate = graph_of(4, 2, 2), *norm = graph_of(4, 2, 2);
    uint32_t at = graph_conv(gate, 0, 4, 3, 1, 1, 1, "a");
    double out;

    at = graph_squeeze_excite(gate, at, 2, GRAPH_RELU, GRAPH_SIGMOID, "se");
    finish(gate, graph_linear(gate, graph_global_avg_pool(gate, at), 2, "head"));
    at = graph_conv(norm, graph_batch_norm(norm, 0, true, "n"), 4, 3, 1, 1, 1, "a");
    finish(norm, graph_linear(norm, graph_global_avg_pool(norm, at), 2, "head"));
    ck_assert_int_eq(score_network(&out, PROXY_NASWOT, no_relu, &one_image, 1, 0, &why),
                     FARM_EINPUT);
    ck_assert_ptr_nonnull(strstr(why.text, "none"));
    ck_assert_int_eq(score_network(&out, PROXY_ZEN, no_relu, &one_image, 1, 0, &why), FARM_EINPUT);
    ck_assert_ptr_nonnull(strstr(why.text, "global pooling"));
    ck_assert_int_eq(score_network(&out, PROXY_SYNFLOW, gate, &one_image, 1, 0, &why), FARM_EINPUT);
    ck_assert_ptr_nonnull(strstr(why.text, "gates"));
    const float images[32] = {1, 2, 3};
    const struct score_batch batch = {images, class0, 1};

    ck_assert_int_eq(score_network(&out, PROXY_JACOB_COV, norm, &batch, 1, 0, &why), FARM_EINPUT);
    ck_assert_ptr_nonnull(strstr(why.text, "batch norm"));
    ck_assert_int_eq(score_network(&out, PROXY_SNIP, gate, &batch, 1, 10, &why), FARM_ENOMEM);
    graph_destroy(&no_relu);
    graph_destroy(&gate);
    graph_destroy(&norm);
}
END_TEST

START_TEST(an_unknown_proxy_lists_those_there_are)
{
    enum proxy proxy;

    ck_assert_int_eq(proxy_find(&proxy, "naswatt", &why), FARM_EINPUT);
    for (int p = PROXY_NONE + 1; p < PROXY_END; p++) {
        ck_assert_ptr_nonnull(strstr(why.text, proxy_name((enum proxy)p)));
        ck_assert_int_eq(proxy_find(&proxy, proxy_name((enum proxy)p), &why), FARM_OK);
        ck_assert_int_eq((int)proxy, p);
        ck_assert_int_eq(proxy_find(&proxy, "x", &why), FARM_EINPUT);
    }
}
END_TEST

int main(void)
{
    TCase *hand = tcase_create("by hand"), *net = tcase_create("networks");
    Suite *suite = suite_create("score");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(hand, jacob_cov_of_rows_that_are_worked_out_by_hand);
    tcase_add_test(hand, eigenvalues_have_the_trace_and_the_determinant);
    tcase_add_test(hand, the_double_reference_is_that_of_the_hand_worked_layer);
    tcase_add_test(hand, one_layer_gives_what_the_double_reference_gives);
    tcase_add_test(hand, synflow_is_layers_times_the_flow);
    tcase_add_test(hand, synflow_of_given_weights_is_ten);
    tcase_add_test(hand, naswot_of_three_codes_is_the_logarithm_of_twenty);
    tcase_add_test(hand, naswot_of_equal_images_is_minus_infinity);
    tcase_add_test(net, synflow_of_a_deep_network_stays_finite);
    tcase_add_test(net, synflow_bypasses_batch_norms_and_relus);
    tcase_add_test(net, the_gradient_of_images_is_what_differences_say);
    tcase_add_test(net, every_proxy_is_finite_and_the_same_twice_and_another_by_another_seed);
    tcase_add_test(net, what_a_proxy_cannot_look_at_is_refused_in_a_sentence);
    tcase_add_test(net, an_unknown_proxy_lists_those_there_are);
    tcase_set_timeout(net, 60);
    suite_add_tcase(suite, hand);
    suite_add_tcase(suite, net);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
