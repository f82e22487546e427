/* known.c - the table of known networks, and what finds and builds them. */
#include "known.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "known_nets.h"
#include "skeleton.h"

static const double one = 1, half = 0.5, one_and_four = 1.4;
static const uint32_t b[] = {0, 1, 2, 3, 4, 5, 6, 7};
#define CIFAR         {32, 32, 3}, 10
#define IMAGENET      {224, 224, 3}, 1000
#define PIXELS(n)     {n, n, 3}, 1000
#define ROW_RESNET(n) "relu|" #n ",x1,basic,k3,se0|" #n ",x1,basic,k3,se0|" #n ",x1,basic,k3,se0"
#define RESNET(n)                                                                                  \
    {.name = "resnet-like", .channels = 16, .cells = n, .stages = 3}, ROW_RESNET(n), NULL, NULL
#define BUILT(function, what) {.name = ""}, NULL, function, what

/* name; paper; where; parameters, multiply-adds; space, notation, or what builds it */
static const struct known nets[] = {
    {"resnet8", "K. He et al., arXiv:1512.03385, n = 1", CIFAR, 78042, 12501632, RESNET(1)},
    {"resnet20", "K. He et al., arXiv:1512.03385, n = 3", CIFAR, 272474, 40813184, RESNET(3)},
    {"resnet56", "K. He et al., arXiv:1512.03385, n = 9", CIFAR, 855770, 125747840, RESNET(9)},
    {"mobilenetv2-0.5", "M. Sandler et al., arXiv:1801.04381", IMAGENET, 1968680, 97131840,
     BUILT(known_mobilenetv2, &half)},
    {"mobilenetv2-1.0", "M. Sandler et al., arXiv:1801.04381", IMAGENET, 3504872, 300774272,
     BUILT(known_mobilenetv2, &one)},
    {"mobilenetv2-1.4", "M. Sandler et al., arXiv:1801.04381", IMAGENET, 6108776, 582195824,
     BUILT(known_mobilenetv2, &one_and_four)},
    {"mobilenetv3-large", "A. Howard et al., arXiv:1905.02244", IMAGENET, 5483032, 216589760,
     BUILT(known_chain, &known_mobilenetv3_large)},
    {"mobilenetv3-small", "A. Howard et al., arXiv:1905.02244", IMAGENET, 2542856, 56510400,
     BUILT(known_chain, &known_mobilenetv3_small)},
    {"mnasnet-a1", "M. Tan et al., arXiv:1807.11626", IMAGENET, 3887038, 311579072,
     BUILT(known_chain, &known_mnasnet_a1)},
    {"proxyless-cpu", "H. Cai et al., arXiv:1812.00332", IMAGENET, 4361648, 439243864,
     BUILT(known_chain, &known_proxyless_cpu)},
    {"proxyless-gpu", "H. Cai et al., arXiv:1812.00332", IMAGENET, 7119848, 465260160,
     BUILT(known_chain, &known_proxyless_gpu)},
    {"proxyless-mobile", "H. Cai et al., arXiv:1812.00332", IMAGENET, 4080512, 320427584,
     BUILT(known_chain, &known_proxyless_mobile)},
    {"proxyless-mobile-1.4", "H. Cai et al., arXiv:1812.00332", IMAGENET, 6857568, 580883408,
     BUILT(known_chain, &known_proxyless_mobile_14)},
    {"fbnet-a",
     "B. Wu et al., arXiv:1812.03443",
     IMAGENET,
     4304584,
     244452664,
     {.name = "fbnet", .options = "width=1,depth=1,head=1504"},
     "skip|k3e3,k3e1,skip,skip|k5e6,k3e3,k5e1,k3e3|k5e6,k5e3,k5e1g2,k5e6|"
     "k3e6,k5e1g2,k5e3,k3e1g2|k5e6,k5e6,k5e3,k5e6|k5e6",
     NULL,
     NULL},
    {"fbnet-b",
     "B. Wu et al., arXiv:1812.03443",
     IMAGENET,
     4801368,
     291004424,
     {.name = "fbnet", .options = "width=1,depth=1"},
     "k3e1|k3e6,k5e1,k3e1,k3e1|k5e6,k5e3,k3e6,k5e6|k5e6,k5e6,skip,k5e3|"
     "k5e6,k3e1,k5e1,k5e3|k5e6,k5e1,k5e6,k5e6|k3e6",
     NULL,
     NULL},
    {"fbnet-c",
     "B. Wu et al., arXiv:1812.03443",
     IMAGENET,
     5570664,
     378136224,
     {.name = "fbnet", .options = "width=1,depth=1"},
     "k3e1|k3e6,skip,k3e1,k3e1|k5e6,k5e3,k5e6,k3e6|k5e6,k5e3,k5e6,k5e6|"
     "k5e6,k5e6,k5e6,k5e3|k5e6,k5e6,k5e6,k5e6|k3e6",
     NULL,
     NULL},
    {"spos",
     "Z. Guo et al., arXiv:1904.00420",
     IMAGENET,
     3558432,
     322918720,
     {.name = "spos-shufflenet", .options = "width=1,depth=1,dropout=0.1"},
     "2,1,0,1|2,0,2,0|2,0,2,3,0,0,0,0|3,2,3,3",
     NULL,
     NULL},
    {"ofa-595m",
     "H. Cai et al., arXiv:1908.09791, flops@595M",
     PIXELS(236),
     9135928,
     595189032,
     {.name = "ofa-mobilenetv3", .options = "width=1.2"},
     "3,k3,e3,k5,e4,k3,e3|4,k5,e4,k5,e4,k3,e6,k5,e3|4,k7,e6,k5,e6,k3,e3,k5,e4|"
     "4,k3,e6,k5,e6,k7,e6,k3,e4|4,k3,e6,k3,e6,k5,e6,k3,e3",
     NULL,
     NULL},
    {"ofa-largest",
     "H. Cai et al., arXiv:1908.09791",
     IMAGENET,
     7664760,
     566170656,
     {.name = "ofa-mobilenetv3", .options = "width=1"},
     "4,k7,e6,k7,e6,k7,e6,k7,e6|4,k7,e6,k7,e6,k7,e6,k7,e6|4,k7,e6,k7,e6,k7,e6,k7,e6|"
     "4,k7,e6,k7,e6,k7,e6,k7,e6|4,k7,e6,k7,e6,k7,e6,k7,e6",
     NULL,
     NULL},
    {"ofa-smallest",
     "H. Cai et al., arXiv:1908.09791",
     IMAGENET,
     3410792,
     121278672,
     {.name = "ofa-mobilenetv3", .options = "width=1"},
     "2,k3,e3,k3,e3|2,k3,e3,k3,e3|2,k3,e3,k3,e3|2,k3,e3,k3,e3|2,k3,e3,k3,e3",
     NULL,
     NULL},
    {"efficientnet-b0", "M. Tan, Q. Le, arXiv:1905.11946", IMAGENET, 5288548, 385814752,
     BUILT(known_efficientnet, &b[0])},
    {"efficientnet-b1", "M. Tan, Q. Le, arXiv:1905.11946", PIXELS(240), 7794184, 686802832,
     BUILT(known_efficientnet, &b[1])},
    {"efficientnet-b2", "M. Tan, Q. Le, arXiv:1905.11946", PIXELS(260), 9109994, 993561872,
     BUILT(known_efficientnet, &b[2])},
    {"efficientnet-b3", "M. Tan, Q. Le, arXiv:1905.11946", PIXELS(300), 12233232, 1827141392,
     BUILT(known_efficientnet, &b[3])},
    {"efficientnet-b4", "M. Tan, Q. Le, arXiv:1905.11946", PIXELS(380), 19341616, 4393771024,
     BUILT(known_efficientnet, &b[4])},
    {"efficientnet-b5", "M. Tan, Q. Le, arXiv:1905.11946", PIXELS(456), 30389784, 10266384752,
     BUILT(known_efficientnet, &b[5])},
    {"efficientnet-b6", "M. Tan, Q. Le, arXiv:1905.11946", PIXELS(528), 43040704, 19067593536,
     BUILT(known_efficientnet, &b[6])},
    {"efficientnet-b7", "M. Tan, Q. Le, arXiv:1905.11946", PIXELS(600), 66347960, 37745884192,
     BUILT(known_efficientnet, &b[7])},
    {"nasnet-a-cifar", "B. Zoph et al., arXiv:1707.07012, 6 @ 768", CIFAR, 3346538, 544333312,
     BUILT(known_cell_network, &known_nasnet_a_cifar)},
    {"nasnet-a-mobile", "B. Zoph et al., arXiv:1707.07012, 4 @ 1056", IMAGENET, 5289978, 563638816,
     BUILT(known_cell_network, &known_nasnet_a_mobile)},
    {"nasnet-a-large", "B. Zoph et al., arXiv:1707.07012, 6 @ 4032", PIXELS(331), 88753150,
     23783414658, BUILT(known_cell_network, &known_nasnet_a_large)},
    {"amoebanet-a-cifar", "E. Real et al., arXiv:1802.01548, N = 6, F = 36", CIFAR, 3218266,
     511991424, BUILT(known_cell_network, &known_amoebanet_a_cifar)},
    {"amoebanet-a-large", "E. Real et al., arXiv:1802.01548, N = 6, F = 190", PIXELS(331), 86718797,
     23266512076, BUILT(known_cell_network, &known_amoebanet_a_large)},
    {"darts-v1",
     "H. Liu et al., arXiv:1806.09055",
     CIFAR,
     3169414,
     500987520,
     {.name = "darts", .channels = 36, .cells = 6},
     "Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), "
     "('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
     "('skip_connect', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
     "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0), ('max_pool_3x3', 0), "
     "('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)], "
     "reduce_concat=[2, 3, 4, 5])",
     NULL,
     NULL},
    {"darts-v2",
     "H. Liu et al., arXiv:1806.09055",
     CIFAR,
     3349342,
     528359040,
     {.name = "darts", .channels = 36, .cells = 6},
     "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
     "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
     "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
     "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
     "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
     "reduce_concat=[2, 3, 4, 5])",
     NULL,
     NULL},
    {"darts-v2-imagenet",
     "H. Liu et al., arXiv:1806.09055, table 3",
     IMAGENET,
     4718752,
     529911552,
     {.name = "darts", .channels = 48, .cells = 4, .stem = "imagenet"},
     "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
     "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
     "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
     "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
     "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
     "reduce_concat=[2, 3, 4, 5])",
     NULL,
     NULL},
    {"nasbench101-inception",
     "C. Ying et al., arXiv:1902.09635, the module of the benchmark's README",
     CIFAR,
     2694282,
     402002944,
     {.name = "nasbench101", .channels = 128, .cells = 3},
     "ModelSpec(matrix=[[0, 1, 1, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 1], "
     "[0, 0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 1], "
     "[0, 0, 0, 0, 0, 0, 0]], ops=['input', 'conv1x1-bn-relu', 'conv3x3-bn-relu', "
     "'conv3x3-bn-relu', 'conv3x3-bn-relu', 'maxpool3x3', 'output'])",
     NULL,
     NULL},
    {"nasbench201-9930",
     "X. Dong, Y. Yang, arXiv:2001.00326, the benchmark's number 9930",
     CIFAR,
     1288506,
     184730240,
     {.name = "nasbench201", .channels = 16, .cells = 5},
     "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|"
     "nor_conv_3x3~2|",
     NULL,
     NULL},
    {"nasbench101-inception",
     "C. Ying et al., arXiv:1902.09635, the example of the benchmark's README",
     CIFAR,
     2694282,
     402002944,
     {.name = "nasbench101", .channels = 128, .cells = 3},
     "ModelSpec(matrix=[[0, 1, 1, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 1], [0, "
     "0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0]], "
     "ops=['input', 'conv1x1-bn-relu', 'conv3x3-bn-relu', 'conv3x3-bn-relu', 'conv3x3-bn-relu', "
     "'maxpool3x3', 'output'])",
     NULL,
     NULL},
    {0},
};
#define N_NETS (sizeof nets / sizeof nets[0] - 1)

const struct known *known_all(void)
{
    return nets;
}

const char *const *known_names(void)
{
    static const char *names[N_NETS + 1];

    for (size_t i = 0; i < N_NETS && names[N_NETS - 1] == NULL; i++)
        names[i] = nets[i].name;
    return names;
}

int known_find(const struct known **out, const char *name, struct why *why)
{
    char known[160] = "";

    for (size_t i = 0; i < N_NETS; i++) {
        if (strcmp(nets[i].name, name) == 0) {
            *out = &nets[i];
            return FARM_OK;
        }
        if (strncmp(nets[i].name, name, 3) == 0)
            add_word(known, sizeof known, known[0] != '\0' ? ", " : "; like it are ", nets[i].name);
    }
    return why_set(why, FARM_ENOTFOUND,
                   "there is no known network '%.40s'%s: `nasfarm net list` has all", name, known);
}

/* The space that the network is a point of, for these images. */
static int open_space(const struct known *self, struct graph_shape input, uint32_t classes,
                      struct space **out, struct why *why)
{
    struct space_config config = self->space;

    config.input = input;
    config.classes = classes;
    return space_open(out, &config, why);
}

int known_build(const struct known *self, struct graph_shape input, uint32_t classes,
                struct graph **out, struct why *why)
{
    struct space *space = NULL;
    struct genome *genome = NULL;
    int rc;

    if (self->build != NULL)
        return self->build(self, input, classes, out, why);
    if ((rc = open_space(self, input, classes, &space, why)) == FARM_OK &&
        (genome = space_parse(space, self->notation, why)) == NULL)
        rc = FARM_EGENOME;
    if (rc == FARM_OK)
        rc = space_decode(space, genome, out, why);
    free(genome);
    space_close(&space);
    return rc;
}

struct genome *known_genome(const struct known *self, const struct space *space, struct why *why)
{
    struct genome *genome;

    if (strcmp(self->space.name, space->config.name) != 0) {
        (void)why_set(why, FARM_EGENOME, "%s is no point of space %s%s%s", self->name,
                      space->config.name, self->space.name[0] != '\0' ? ", but of " : "",
                      self->space.name);
        return NULL;
    }
    if ((genome = space_parse(space, self->notation, why)) == NULL)
        (void)why_prefix(why, FARM_EGENOME, "%s in a space of this size", self->name);
    return genome;
}

static const struct known *of_name(const char *text, size_t len)
{
    for (size_t i = 0; i < N_NETS; i++)
        if (strlen(nets[i].name) == len && memcmp(nets[i].name, text, len) == 0)
            return &nets[i];
    return NULL;
}

/* A genome that is the caller's here, and copied there. */
static int hand_over(struct genome *genome, int (*take)(void *ctx, const struct genome *genome),
                     void *ctx, struct why *why)
{
    int rc;

    if (genome == NULL)
        return FARM_EGENOME;
    if ((rc = take(ctx, genome)) != FARM_OK)
        rc = why_set(why, rc, "cannot begin with a network: %s", farm_strerror(rc));
    free(genome);
    return rc;
}

int known_read(const struct space *space, const char *text,
               int (*take)(void *ctx, const struct genome *genome), void *ctx, struct why *why)
{
    size_t len = strcspn(text, ",");
    const struct known *net = of_name(text, len);
    int rc = FARM_OK;

    if (net == NULL)
        return hand_over(space_parse(space, text, why), take, ctx, why);
    for (;;) {
        if ((rc = hand_over(known_genome(net, space, why), take, ctx, why)) != FARM_OK ||
            text[len] == '\0')
            return rc;
        text += len + 1;
        len = strcspn(text, ",");
        if ((net = of_name(text, len)) == NULL)
            return why_set(why, FARM_EGENOME, "'%.60s' is no known network", text);
    }
}
