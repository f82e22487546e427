/* test_mix.c - mixup and cutmix of a batch, and the loss of what has two labels. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "data/mix.h"
#include "net.h"

enum { N = 5, H = 4, W = 6, C = 2, IMAGE = H * W * C };

/* Image i is i + 1 throughout, with label i. */
static struct {
    float images[N * IMAGE];
    uint16_t labels[N], labels_b[N];
    float shares[N];
} batch;

static void fill_batch(void)
{
    for (int i = 0; i < N; i++) {
        batch.labels[i] = (uint16_t)i;
        for (int k = 0; k < IMAGE; k++)
            batch.images[i * IMAGE + k] = (float)(i + 1);
    }
}

static bool mix(struct mix how, struct rng *rng, uint32_t n)
{
    fill_batch();
    return mix_batch(&how, rng, batch.images, batch.labels, batch.labels_b, batch.shares, n, H, W,
                     C);
}

START_TEST(nothing_is_mixed_unless_asked_for_or_alone)
{
    struct rng rng, before;

    rng_seed(&rng, 1);
    before = rng;
    ck_assert(!mix((struct mix){0, 0}, &rng, N));
    ck_assert(!mix((struct mix){1, 1}, &rng, 1));
    ck_assert_mem_eq(&rng, &before, sizeof rng); /* and nothing was drawn */
    for (int i = 0; i < N * IMAGE; i++) {
        int image = i / IMAGE;

        ck_assert_float_eq(batch.images[i], (float)(image + 1));
    }
}
END_TEST

START_TEST(mixup_blends_each_image_with_its_opposite)
{
    struct rng rng;
    double sum = 0;

    rng_seed(&rng, 2);
    for (int round = 0; round < 1000; round++) {
        ck_assert(mix((struct mix){.mixup = 1}, &rng, N));
        ck_assert(batch.shares[0] >= 0 && batch.shares[0] <= 1);
        for (int i = 0; i < N; i++) {
            float own = batch.shares[i], want = own * (float)(i + 1) + (1 - own) * (float)(N - i);

            ck_assert_int_eq(batch.labels[i], i);
            ck_assert_int_eq(batch.labels_b[i], N - 1 - i);
            ck_assert_float_eq(own, i == 2 ? 1 : batch.shares[0]); /* the middle has no opposite */
            for (int k = 0; k < IMAGE; k++)
                ck_assert_float_eq_tol(batch.images[i * IMAGE + k], want, 1e-5f);
        }
        sum += (double)batch.shares[0];
    }
    ck_assert_double_eq_tol(sum / 1000, 0.5, 0.05); /* Beta(1, 1) */
}
END_TEST

/* The rectangle is the same in both, in all channels, and the share says how much is left. */
START_TEST(cutmix_exchanges_a_rectangle_of_both)
{
    struct rng rng;
    int whole = 0, none = 0;

    rng_seed(&rng, 3);
    for (int round = 0; round < 1000; round++) {
        int top = H, bottom = -1, left = W, right = -1, foreign = 0;

        ck_assert(mix((struct mix){.cutmix = 1}, &rng, N));
        for (int k = 0; k < IMAGE; k++) {
            int y = k / (W * C), x = k / C % W;
            float mine = batch.images[k], other = batch.images[4 * IMAGE + k];

            ck_assert((mine == 1 && other == 5) || (mine == 5 && other == 1));
            ck_assert_float_eq(batch.images[2 * IMAGE + k], 3);
            if (mine == 1)
                continue;
            foreign++;
            top = y < top ? y : top;
            bottom = y > bottom ? y : bottom;
            left = x < left ? x : left;
            right = x > right ? x : right;
        }
        if (foreign > 0) /* all within its borders: a rectangle */
            ck_assert_int_eq(foreign, (bottom - top + 1) * (right - left + 1) * C);
        ck_assert_float_eq_tol(batch.shares[0], 1 - (float)foreign / IMAGE, 1e-6f);
        ck_assert_float_eq(batch.shares[2], 1);
        whole += foreign == IMAGE;
        none += foreign == 0;
    }
    ck_assert_int_gt(none, 0);
    ck_assert_int_lt(whole + none, 500);
}
END_TEST

START_TEST(with_both_a_coin_decides_for_each_batch)
{
    struct rng rng;
    int blended = 0;

    rng_seed(&rng, 4);
    for (int round = 0; round < 400; round++) {
        ck_assert(mix((struct mix){1, 1}, &rng, N));
        blended += batch.images[0] != 1 && batch.images[0] != 5;
    }
    ck_assert_int_gt(blended, 150);
    ck_assert_int_lt(blended, 250);
}
END_TEST

/* -- the loss -- */

/* One linear layer of 3 classes that reads 3 numbers: with the identity as its weights, its logits are its input. */
static struct net *identity_net(void)
{
    struct graph *g;
    struct graph_node linear = {.op = GRAPH_LINEAR, .channels = 3};
    struct net_config config = {.batch = 2, .mode = NET_TRAIN, .seed = 1};
    struct net *net;
    struct why why;
    uint32_t in = 0;

    ck_assert_int_eq(graph_create(&g, (struct graph_shape){1, 1, 3}, 3, &why), FARM_OK);
    ck_assert_int_eq(graph_finish(g, graph_add(g, &linear, &in, 1, "w"), &why), FARM_OK);
    ck_assert_int_eq(net_create(&net, g, &config, &why), FARM_OK);
    for (int i = 0; i < 9; i++)
        net_param(net, 0)->value[i] = i % 4 == 0;
    graph_destroy(&g);
    return net;
}

/* PyTorch 1.13: F.cross_entropy(z, target, label_smoothing=s) and its gradient for z, the targets as probabilities
 * 0.25 of class 0 and 0.75 of class 2; then class 1 alone. */
START_TEST(the_loss_of_mixed_labels_is_that_of_the_mixed_target)
{
    static const float z[6] = {1, 2, -1, 0.5f, -0.5f, 3};
    static const uint16_t a[2] = {0, 1}, b[2] = {2, 0};
    static const float shares[2] = {0.25f, 1};
    static const double loss = 3.094379827, gradient[6] = {0.000581564, 0.336025590,  -0.336607153,
                                                           0.020232685, -0.453092154, 0.432859468};
    struct net *net = identity_net();
    const float *dw;
    uint32_t correct;
    double got;

    memcpy(net_input(net), z, sizeof z);
    (void)net_forward(net, 2, true);
    got = net_loss_mixed(net, a, b, shares, 2, 0.1f, &correct);
    ck_assert_double_eq_tol(got, loss, 1e-6);
    ck_assert_uint_eq(correct, 0);
    net_backward(net);
    dw = net_param(net, 0)->grad; /* (3, 3) = x^T dz */
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++)
            ck_assert_double_eq_tol((double)dw[3 * i + k],
                                    (double)z[i] * gradient[k] + (double)z[3 + i] * gradient[3 + k],
                                    1e-6);
    net_destroy(&net);
}
END_TEST

START_TEST(without_shares_it_is_the_plain_loss_bit_for_bit)
{
    static const uint16_t labels[2] = {2, 0}, others[2] = {1, 1};
    static const float ones[2] = {1, 1};
    struct net *net = identity_net();
    uint32_t correct[3];
    double loss[3];

    for (int i = 0; i < 6; i++)
        net_input(net)[i] = (float)(i * i) / 7;
    (void)net_forward(net, 2, true);
    loss[0] = net_loss(net, labels, 2, 0.1f, &correct[0]);
    loss[1] = net_loss_mixed(net, labels, others, NULL, 2, 0.1f, &correct[1]);
    loss[2] = net_loss_mixed(net, labels, others, ones, 2, 0.1f, &correct[2]);
    for (int i = 1; i < 3; i++) {
        ck_assert_mem_eq(&loss[0], &loss[i], sizeof loss[0]);
        ck_assert_uint_eq(correct[0], correct[i]);
    }
    net_destroy(&net);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mix");
    TCase *tests = tcase_create("mix");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tests, nothing_is_mixed_unless_asked_for_or_alone);
    tcase_add_test(tests, mixup_blends_each_image_with_its_opposite);
    tcase_add_test(tests, cutmix_exchanges_a_rectangle_of_both);
    tcase_add_test(tests, with_both_a_coin_decides_for_each_batch);
    tcase_add_test(tests, the_loss_of_mixed_labels_is_that_of_the_mixed_target);
    tcase_add_test(tests, without_shares_it_is_the_plain_loss_bit_for_bit);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
