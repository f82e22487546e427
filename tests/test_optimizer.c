/* Each optimizer against its formula and against PyTorch, clipping, what weight decay spares, and averages of weights. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ema.h"
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

/* Four steps from the same weights with the same gradients. What PyTorch 1.13 (torch.optim.SGD, RMSprop, Adam, AdamW in
 * float32) and, for its own form of RMSProp, TensorFlow's formula in float64 make of them. */
static const float first_weights[4] = {0.5f, -0.25f, 1.0f, -1.0f};
static const float gradients[4][4] = {{0.25f, -0.5f, 1.0f, -2.0f},
                                      {-0.125f, 0.25f, 0.5f, 1.0f},
                                      {0.5f, 0.5f, -0.25f, 0.0f},
                                      {1.0f, -1.0f, 0.0625f, 0.375f}};
static const struct {
    const char *whose;
    struct optimizer_config config;
    double lr;
    float weights[4];
} sequences[] = {
    {"SGD, nesterov, PyTorch",
     {.kind = OPTIMIZER_SGD, .momentum = 0.9f, .nesterov = true, .weight_decay = 0.01f},
     0.1,
     {0.10961653f, -0.07427391f, 0.46476781f, -0.58706772f}},
    {"RMSProp, NAS-Bench-101's constants, TensorFlow",
     {.kind = OPTIMIZER_RMSPROP, .momentum = 0.9f, .epsilon = 1.0, .weight_decay = 1e-4f},
     0.1,
     {0.31636738f, -0.17272660f, 0.68941818f, -0.75253351f}},
    {"RMSProp, defaults, TensorFlow",
     {.kind = OPTIMIZER_RMSPROP},
     0.01,
     {0.48173220f, -0.24202567f, 0.98681184f, -0.99500471f}},
    {"RMSProp, momentum and decay, PyTorch",
     {.kind = OPTIMIZER_RMSPROP,
      .momentum = 0.9f,
      .square_decay = 0.95,
      .epsilon = 1e-3,
      .weight_decay = 0.01f,
      .epsilon_outside = true},
     0.01,
     {0.28753388f, -0.17309043f, 0.80689746f, -0.90845400f}},
    {"RMSProp, PyTorch's defaults",
     {.kind = OPTIMIZER_RMSPROP, .square_decay = 0.99, .epsilon = 1e-8, .epsilon_outside = true},
     0.01,
     {0.27050233f, -0.18161491f, 0.87158728f, -0.96166861f}},
    {"Adam, PyTorch",
     {.kind = OPTIMIZER_ADAM, .momentum = 0.9f, .weight_decay = 0.01f},
     0.01,
     {0.47268355f, -0.23660812f, 0.96988440f, -0.98436087f}},
    {"Adam, short memory, PyTorch",
     {.kind = OPTIMIZER_ADAM, .momentum = 0.5f, .square_decay = 0.99, .epsilon = 1e-3},
     0.02,
     {0.43993556f, -0.23047638f, 0.95532036f, -0.98355711f}},
    {"AdamW, PyTorch",
     {.kind = OPTIMIZER_ADAMW, .momentum = 0.9f, .weight_decay = 0.1f},
     0.01,
     {0.47107884f, -0.23578639f, 0.96617466f, -0.98062062f}},
};

START_TEST(four_steps_are_those_of_the_frameworks)
{
    struct net *net = four_weights();
    struct net_param *p = net_param(net, 0);
    struct optimizer *o = optimizer_of(net, sequences[_i].config);

    memcpy(p->value, first_weights, sizeof first_weights);
    for (int step = 0; step < 4; step++) {
        memcpy(p->grad, gradients[step], sizeof gradients[step]);
        (void)optimizer_step(o, sequences[_i].lr);
    }
    ck_assert_uint_eq(optimizer_steps(o), 4);
    for (int i = 0; i < 4; i++)
        ck_assert_msg(fabsf(p->value[i] - sequences[_i].weights[i]) < 3e-7f,
                      "%s: weight %d is %.8f instead of %.8f", sequences[_i].whose, i,
                      (double)p->value[i], (double)sequences[_i].weights[i]);
    optimizer_destroy(&o);
    net_destroy(&net);
}
END_TEST

/* The first step by hand: m and v are corrected to g and g^2, so every weight moves by lr, whatever its gradient. */
START_TEST(the_first_step_of_adam_is_the_rate_in_the_gradients_direction)
{
    struct net *net = four_weights();
    struct net_param *p = net_param(net, 0);
    struct optimizer *o =
        optimizer_of(net, (struct optimizer_config){.kind = OPTIMIZER_ADAM, .momentum = 0.9f});
    float before[4];

    memcpy(before, p->value, sizeof before);
    memcpy(p->grad, (float[]){1e-3f, -5, 100, -0.1f}, sizeof before);
    (void)optimizer_step(o, 0.25);
    for (int i = 0; i < 4; i++)
        ck_assert_float_eq_tol(p->value[i], before[i] + (i % 2 == 0 ? -0.25f : 0.25f), 1e-4f);
    optimizer_destroy(&o);
    net_destroy(&net);
}
END_TEST

/* A linear layer with a bias and a batch norm in front. */
static struct net *weight_bias_gamma_beta(void)
{
    struct graph *g;
    struct net_config config = {.batch = 2, .mode = NET_TRAIN, .seed = 1};
    struct net *net;
    uint32_t at;

    ck_assert_int_eq(graph_create(&g, (struct graph_shape){1, 1, 2}, 2, &why), FARM_OK);
    at = graph_batch_norm(g, 0, true, "bn");
    ck_assert_int_eq(graph_finish(g, graph_linear(g, at, 2, "head"), &why), FARM_OK);
    ck_assert_int_eq(net_create(&net, g, &config, &why), FARM_OK);
    graph_destroy(&g);
    return net;
}

START_TEST(weight_decay_spares_gamma_beta_and_bias_when_asked)
{
    for (int kind = 0; kind < OPTIMIZER_END; kind++)
        for (int spare = 0; spare < 2; spare++) {
            struct net *net = weight_bias_gamma_beta();
            struct optimizer *o =
                optimizer_of(net, (struct optimizer_config){.kind = (enum optimizer_kind)kind,
                                                            .weight_decay = 0.1f,
                                                            .decay_weights_only = spare == 1});

            for (size_t i = 0; i < net_n_params(net); i++) {
                struct net_param *p = net_param(net, i);

                for (size_t k = 0; k < p->n; k++)
                    p->value[k] = 1;
                if (p->grad != NULL)
                    memset(p->grad, 0, p->n * sizeof *p->grad);
            }
            (void)optimizer_step(o, 0.5);
            for (size_t i = 0; i < net_n_params(net); i++) {
                struct net_param *p = net_param(net, i);
                bool decays = p->grad != NULL && (spare == 0 || strstr(p->name, ".weight") != NULL);

                ck_assert_msg((p->value[0] < 1) == decays, "kind %d, spare %d: %s is %g", kind,
                              spare, p->name, (double)p->value[0]);
            }
            optimizer_destroy(&o);
            net_destroy(&net);
        }
}
END_TEST

START_TEST(an_optimizer_has_its_name_and_its_moments)
{
    static const struct {
        const char *name;
        enum optimizer_kind kind;
        uint32_t moments;
    } known[] = {{"sgd", OPTIMIZER_SGD, 1},
                 {"rmsprop", OPTIMIZER_RMSPROP, 2},
                 {"adam", OPTIMIZER_ADAM, 2},
                 {"adamw", OPTIMIZER_ADAMW, 2}};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct net *net = four_weights();
        struct optimizer *o = optimizer_of(net, (struct optimizer_config){.kind = known[i].kind});

        ck_assert_int_eq(optimizer_kind(known[i].name), known[i].kind);
        ck_assert_uint_eq(optimizer_moments(known[i].kind), known[i].moments);
        ck_assert_uint_eq(optimizer_bytes(o), 4 * known[i].moments * sizeof(float));
        optimizer_destroy(&o);
        optimizer_destroy(&o);
        net_destroy(&net);
    }
    ck_assert_int_eq(optimizer_kind("lion"), OPTIMIZER_END);
    ck_assert_int_eq(optimizer_kind(""), OPTIMIZER_END);
}
END_TEST

/* Averages */

static void set_all(struct net *net, float value)
{
    for (size_t i = 0; i < net_n_params(net); i++)
        for (size_t k = 0; k < net_param(net, i)->n; k++)
            net_param(net, i)->value[k] = value;
}

START_TEST(an_average_follows_weights_and_running_statistics_and_is_swapped_in_and_out)
{
    struct net *net = weight_bias_gamma_beta();
    struct ema *ema = NULL;
    size_t values = 0;

    set_all(net, 1);
    ck_assert_int_eq(ema_create(&ema, net, 0.75, false), FARM_OK);
    set_all(net, 2);
    ema_update(ema); /* 1.25 */
    set_all(net, 4);
    ema_update(ema); /* 1.9375 */
    ck_assert_uint_eq(ema_updates(ema), 2);
    ema_swap(ema);
    for (size_t i = 0; i < net_n_params(net); i++) {
        ck_assert_float_eq(net_param(net, i)->value[0], 1.9375f); /* bn.mean and bn.var as well */
        values += net_param(net, i)->n;
    }
    ema_swap(ema);
    ck_assert_float_eq(net_param(net, 0)->value[0], 4);
    ck_assert_uint_eq(ema_bytes(ema), values * sizeof(float));
    ema_destroy(&ema);
    ema_destroy(&ema);
    net_destroy(&net);
}
END_TEST

START_TEST(an_average_that_warms_up_forgets_its_first_values_sooner)
{
    struct net *net = four_weights();
    struct ema *ema = NULL;

    set_all(net, 0);
    ck_assert_int_eq(ema_create(&ema, net, 0.15, true), FARM_OK);
    set_all(net, 1);
    ema_update(ema); /* decay min(0.15, 1/10): 0.9 */
    ema_update(ema); /* min(0.15, 2/11) = 0.15: 0.9 + 0.85 * 0.1 */
    ema_swap(ema);
    ck_assert_float_eq_tol(net_param(net, 0)->value[0], 0.985f, 1e-6f);
    ema_destroy(&ema);
    net_destroy(&net);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("optimizer");
    TCase *t = tcase_create("optimizer");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_test(t, a_step_is_sgd_with_nesterov_momentum_and_weight_decay);
    tcase_add_test(t, clipping_keeps_the_direction_and_caps_the_length);
    tcase_add_loop_test(t, four_steps_are_those_of_the_frameworks, 0,
                        sizeof sequences / sizeof sequences[0]);
    tcase_add_test(t, the_first_step_of_adam_is_the_rate_in_the_gradients_direction);
    tcase_add_test(t, weight_decay_spares_gamma_beta_and_bias_when_asked);
    tcase_add_test(t, an_optimizer_has_its_name_and_its_moments);
    tcase_add_test(t, an_average_follows_weights_and_running_statistics_and_is_swapped_in_and_out);
    tcase_add_test(t, an_average_that_warms_up_forgets_its_first_values_sooner);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
