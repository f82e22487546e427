/* The rate over time, the step against a formula, clipping, and velocities that survive a restart. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "optimizer.h"

static struct why why;

/* One linear layer without bias: 2 -> 2, four weights. */
static struct net *four_weights(void)
{
    struct graph *g;
    struct graph_node linear = {.op = GRAPH_LINEAR, .channels = 2};
    struct net_config config = {.batch = 1, .mode = NET_TRAIN, .seed = 1};
    struct net *net;
    uint32_t in = 0;

    ck_assert_int_eq(graph_create(&g, (struct graph_shape){1, 1, 2}, 2, &why), FARM_OK);
    ck_assert_int_eq(graph_finish(g, graph_add(g, &linear, &in, 1, "w"), &why), FARM_OK);
    ck_assert_int_eq(net_create(&net, g, &config, &why), FARM_OK);
    graph_destroy(&g);
    return net;
}

static struct optimizer *optimizer_of(struct net *net, struct optimizer_config config)
{
    struct optimizer *o = NULL;

    ck_assert_int_eq(optimizer_create(&o, net, &config), FARM_OK);
    return o;
}

START_TEST(the_rate_warms_up_and_then_falls_as_a_cosine)
{
    ck_assert_double_eq_tol(lr_at(0, 100, 4, 1), 0.2, 1e-12);
    ck_assert_double_eq_tol(lr_at(3, 100, 4, 1), 0.8, 1e-12);
    ck_assert_double_eq_tol(lr_at(4, 100, 4, 1), 1, 1e-12);
    ck_assert_double_eq_tol(lr_at(52, 100, 4, 1), 0.5, 1e-12); /* half way */
    ck_assert_double_eq_tol(lr_at(28, 100, 4, 0.1), 0.1 * 0.5 * (1 + sqrt(0.5)), 1e-12);
    for (uint64_t s = 4; s < 100; s++)
        ck_assert_double_gt(lr_at(s, 100, 4, 1), lr_at(s + 1, 100, 4, 1));
    ck_assert(lr_at(100, 100, 4, 1) == 0 && lr_at(1000, 100, 4, 1) == 0);
    ck_assert(lr_at(0, 100, 0, 3) == 3);  /* no warm-up */
    ck_assert(lr_at(0, 1, 0, 3) == 3);    /* a single step */
    ck_assert(lr_at(9, 10, 50, 1) < 0.2); /* nothing but warm-up */
    ck_assert(lr_at(0, 0, 0, 1) == 0);
}
END_TEST

/* PyTorch's formula, written out, over three steps. */
START_TEST(a_step_is_sgd_with_nesterov_momentum_and_weight_decay)
{
    for (int nesterov = 0; nesterov < 2; nesterov++) {
        struct net *net = four_weights();
        struct net_param *p = net_param(net, 0);
        struct optimizer *o = optimizer_of(net, (struct optimizer_config){.momentum = 0.9f,
                                                                          .nesterov = nesterov == 1,
                                                                          .weight_decay = 0.01f});
        double w[4], v[4] = {0};

        for (int i = 0; i < 4; i++)
            w[i] = (double)p->value[i];
        for (int step = 0; step < 3; step++) {
            for (int i = 0; i < 4; i++) {
                double g;

                p->grad[i] = (float)(i + 1) * (step == 1 ? -0.5f : 0.25f);
                g = (double)p->grad[i] + 0.01 * w[i];
                v[i] = 0.9 * v[i] + g;
                w[i] -= 0.1 * (nesterov ? g + 0.9 * v[i] : v[i]);
            }
            ck_assert(optimizer_step(o, 0.1) == 0); /* no clipping, no norm */
            for (int i = 0; i < 4; i++)
                ck_assert_double_eq_tol((double)p->value[i], w[i], 1e-6);
        }
        optimizer_destroy(&o);
        net_destroy(&net);
    }
}
END_TEST

START_TEST(clipping_keeps_the_direction_and_caps_the_length)
{
    static const float grad[4] = {3, 0, 4, 12}; /* length 13 */
    struct net *net = four_weights();
    struct net_param *p = net_param(net, 0);
    struct optimizer *o = optimizer_of(net, (struct optimizer_config){.grad_clip = 6.5f});
    float before[4];

    memcpy(before, p->value, sizeof before);
    memcpy(p->grad, grad, sizeof grad);
    ck_assert_double_eq_tol(optimizer_step(o, 1), 13, 1e-6);
    for (int i = 0; i < 4; i++)
        ck_assert_float_eq_tol(p->value[i], before[i] - grad[i] / 2, 1e-5f);
    memcpy(before, p->value, sizeof before);
    memcpy(p->grad, (float[]){0, 6, 0, 0}, sizeof grad); /* short enough: left alone */
    ck_assert_double_eq_tol(optimizer_step(o, 1), 6, 1e-6);
    ck_assert_float_eq_tol(p->value[1], before[1] - 6, 1e-5f);
    optimizer_destroy(&o);
    net_destroy(&net);
}
END_TEST

START_TEST(velocities_survive_a_restart)
{
    struct optimizer_config config = {.momentum = 0.9f};
    struct net *a = four_weights(), *b = four_weights();
    struct optimizer *oa = optimizer_of(a, config), *ob = optimizer_of(b, config);
    uint8_t *weights, *velocities;
    size_t weights_len, velocities_len;

    ck_assert_uint_eq(optimizer_bytes(oa), 4 * sizeof(float));
    for (int step = 0; step < 2; step++) {
        memcpy(net_param(a, 0)->grad, (float[]){1, -2, 3, -4}, 4 * sizeof(float));
        optimizer_step(oa, 0.1);
    }
    ck_assert_int_eq(net_save(a, &weights, &weights_len), FARM_OK);
    ck_assert_int_eq(optimizer_save(oa, &velocities, &velocities_len), FARM_OK);
    ck_assert_int_eq(net_load(b, weights, weights_len, &why), FARM_OK);
    ck_assert_int_eq(optimizer_load(ob, velocities, velocities_len, &why), FARM_OK);
    /* one is not taken for the other */
    ck_assert_int_eq(net_load(b, velocities, velocities_len, &why), FARM_ECORRUPT);
    memcpy(net_param(b, 0)->grad, net_param(a, 0)->grad, 4 * sizeof(float));
    optimizer_step(oa, 0.1);
    optimizer_step(ob, 0.1);
    ck_assert_mem_eq(net_param(a, 0)->value, net_param(b, 0)->value, 4 * sizeof(float));
    free(weights);
    free(velocities);
    optimizer_destroy(&oa);
    optimizer_destroy(&ob);
    optimizer_destroy(&ob);
    net_destroy(&a);
    net_destroy(&b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("optimizer");
    TCase *t = tcase_create("optimizer");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_test(t, the_rate_warms_up_and_then_falls_as_a_cosine);
    tcase_add_test(t, a_step_is_sgd_with_nesterov_momentum_and_weight_decay);
    tcase_add_test(t, clipping_keeps_the_direction_and_caps_the_length);
    tcase_add_test(t, velocities_survive_a_restart);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
