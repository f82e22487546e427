/* The command line as people meet it: what they type wrongly gets one sentence and exit code 2, and a small search with
 * the synthetic evaluator goes from `search` over `resume` to `export`. */
#include <check.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "farm_kit.h"

static char folder[256], log_path[300];

static void begin(void)
{
    kit_folder(folder, sizeof folder, "cli");
    snprintf(log_path, sizeof log_path, "%s/log", folder);
    ck_assert_int_eq(chdir(folder), 0);
}

static void finish(void)
{
    ck_assert_int_eq(chdir("/"), 0);
    kit_remove(folder);
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

/* `nasfarm LINE`, split at blanks by the shell; standard output and error end up in the log. */
static pid_t launch(const char *line, const char *log)
{
    char command[2048];
    snprintf(command, sizeof command, "exec %s %s", BIN_NASFARM, line);
    const char *argv[] = {"/bin/sh", "-c", command, NULL};
    unlink(log);
    return kit_start(argv, log);
}

static int run(const char *line)
{
    return kit_wait(launch(line, log_path), 100);
}

static void expect(const char *line, int status, const char *sentence)
{
    int got = run(line);
    char *log = kit_read(log_path);
    ck_assert_msg(got == status, "nasfarm %s: exit code %d, not %d:\n%.2000s", line, got, status,
                  log);
    ck_assert_msg(strstr(log, sentence) != NULL, "nasfarm %s: \"%s\" is not in:\n%.2000s", line,
                  sentence, log);
    free(log);
}

/* ------------------------------------------------------------------ what is typed wrongly */

static const struct {
    const char *line;
    int status;
    const char *sentence;
} mistakes[] = {
    {"", 2, "Usage: nasfarm COMMAND"},
    {"serach", 2, "there is no command \"serach\""},
    {"search --bogus", 2, "unrecognized option '--bogus'"},
    {"search digits", 2, "did you mean --data digits?"},
    {"search --epochs -3", 2, "--epochs: -3 is outside 1 .. 1000000"},
    {"search --epochs 2.5", 2, "--epochs: \"2.5\" is not a whole number"},
    {"search --epochs many", 2, "--epochs: \"many\" is not a whole number"},
    {"search --lr nan", 2, "--lr: \"nan\" is not a number"},
    {"search --lr 0x10", 2, "--lr: \"0x10\" is not a number"},
    {"search --optimizer adagrad", 2, "optimizer \"adagrad\": must be sgd, rmsprop, adam or adamw"},
    {"search --optimizer a-name-far-too-long", 2, "--optimizer: its text is longer than 15"},
    {"search --final-optimizer adagrad", 2, "of the final training: optimizer \"adagrad\""},
    {"search --lr-schedule step:30", 2, "schedule \"step:30\": must be step:EPOCHS,FACTOR"},
    {"search --lr-schedule cosine:1 --lr 0.1", 2, "its floor is above lr, which is 0.1"},
    {"search --prefilter magic:10%", 2, "--prefilter: prefilter 'magic:10%': proxy"},
    {"search --prefilter naswot:200%", 2, "the share must be above 0% and below 100%"},
    {"search --prefilter naswot:10% --proxy naswot", 2,
     "--prefilter decides who is trained, and with --proxy nobody is"},
    {"search --exec ''", 2, "--exec: an empty command evaluates nothing"},
    {"search --objective speed", 2, "--objective: objective 'speed': 'speed': there are accuracy"},
    {"search --objective accuracy,-macs", 2,
     "strategy evolution raises one number, and there are 2"},
    {"search --constraint params", 2, "--constraint: constraint 'params': 'params': bounds are"},
    {"search --start-from nowhere/run --evaluator synthetic --out x", 2,
     "--start-from: there is no store in nowhere/run"},
    {"search --start-from bad.csv --evaluator synthetic --out x", 2,
     "--start-from: bad.csv:3: character 1 of the architecture, 'bad'"},
    {"search --start-from bad.csv,best=2 --evaluator synthetic --out x", 2,
     "only ,top=N may follow"},
    {"front", 2, "which run?"},
    {"front missing", 2, "there is no store in missing"},
    {"search --ema 1", 2, "--ema: 1 is outside 0 .. 0.999999"},
    {"search --mixup -1", 2, "--mixup: -1 is outside"},
    {"search --epsilon 1", 2, "--square-decay and --epsilon belong to --optimizer rmsprop, adam"},
    {"search --optimizer adam --epsilon-outside", 2,
     "--epsilon-outside belongs to --optimizer rmsprop"},
    {"search --config schedule.yaml", 2, "schedule \"linear\": must be cosine, constant"},
    {"search --trials 0", 2, "--trials: 0 is outside"},
    {"search --trials", 2, "option '--trials' requires an argument"},
    {"search --proxy nasw", 2,
     "must be naswot, jacob_cov, synflow, snip, plain, grad_norm, grasp, zen"},
    {"search --proxy naswot --schedule asha,eta=3,min=1,max=9", 2, "no epochs to give out"},
    {"search --max-memory 12q", 2, "--max-memory: \"12q\" is not a number of bytes"},
    {"search --max-params 3KB", 2, "--max-params: \"3KB\" is not a whole number"},
    {"search --flip=perhaps", 2, "--flip: \"perhaps\" is neither yes nor no"},
    {"search --name ../up", 2, "--name \"../up\""},
    {"search --val-fraction 0", 2, "--val-fraction: 0 leaves nothing"},
    {"search --space moon", 2, "moon"},
    {"search --strategy luck", 2, "luck"},
    {"search --strategy random --population 5", 2,
     "--population and --sample belong to --strategy evolution"},
    {"search --strategy-options colour=red", 2, "colour"},
    {"search --broker tcp://127.0.0.1:1 --slots 2", 2, "are for local workers"},
    {"search --broker nonsense", 2, "--broker nonsense:"},
    {"search --exec true --evaluator train", 2, "--exec or --evaluator, but not both"},
    {"search --config missing.yaml", 2, "cannot read missing.yaml: No such file or directory"},
    {"search --config .", 2, ". is not a plain file"},
    {"search --config unknown.yaml", 2, "unknown.yaml:2: there is no setting \"colour\""},
    {"search --config value.yaml", 2, "value.yaml:3: epochs: -1 is outside 1 .. 1000000"},
    {"search --config syntax.yaml", 2, "syntax.yaml:2: not YAML:"},
    {"search --config twice.yaml", 2, "twice.yaml:3: \"lr\" is set twice"},
    {"search --config list.yaml", 2, "list.yaml:1: "},
    {"search --config nested.yaml", 2, "nested.yaml:1: epochs: expected one plain value"},
    {"search --config two.yaml", 2, "two.yaml:3: a second document"},
    {"search --config alias.yaml", 2, "alias.yaml:1: epochs: expected one plain value"},
    {"search --config empty-value.yaml", 2,
     "empty-value.yaml:1: epochs: \"\" is not a whole number"},
    {"search --config zeros.yaml", 2, "zeros.yaml:1: not YAML"},
    {"search --space nasbench201 --stem imagenet", 2, "it has no reduction cells for the stem"},
    {"search --space nasnet --stem thick", 2, "there is no stem 'thick'"},
    {"resume", 2, "which run?"},
    {"health", 2, "whose health?"},
    {"health 127.0.0.1:1", 1, "nothing answers at 127.0.0.1:1"},
    {"health nowhere", 1, "must be ADDRESS:PORT"},
    {"search --metrics nowhere", 2, "--metrics: \"nowhere\": must be ADDRESS:PORT"},
    {"resume nowhere", 2, "nowhere"},
    {"resume --epochs 3 nowhere", 2, "unrecognized option '--epochs'"},
    {"status", 2, "give a run's folder, or --broker ENDPOINT"},
    {"status nowhere", 2, "nowhere"},
    {"status --broker nonsense", 2, "--broker nonsense:"},
    {"list", 2, "which run?"},
    {"list nowhere --best 0", 2, "--best 0: a number from 1 on"},
    {"list nowhere --all --failed", 2, "choose one of"},
    {"show nowhere", 2, "which trial?"},
    {"show nowhere 1", 2, "nowhere"},
    {"best nowhere", 2, "nowhere"},
    {"replay nowhere", 2, "nowhere"},
    {"export nowhere best", 2, "as what?"},
    {"export nowhere best --dot --svg", 2, "choose --dot or --svg"},
    {"export nowhere best --dot --json", 2, "choose one of --dot, --svg, --json and --genotype"},
    {"export nowhere best --json --cell", 2,
     "--cell, --network and --outline go with --dot and --svg"},
    {"export nowhere best --dot --cell --outline", 2, "choose one of --cell, --network"},
    {"import", 2, "which architecture?"},
    {"import --space nasbench201 a b", 2, "put it in quotes"},
    {"import --space nowhere a", 2, "there is no search space 'nowhere'"},
    {"import --images 28x28 a", 2, "as in 28x28x1"},
    {"import --images 28x28x1x a", 2, "as in 28x28x1"},
    {"import --classes 0 a", 2, "a number from 1 on"},
    {"import --space nasbench201 '|none~0|+|'", 2, "  |none~0|+|\n            ^"},
    {"export nowhere best --genotype --keep-batch-norm", 2, "--keep-batch-norm goes with --onnx"},
    {"export nowhere best --dot", 2, "nowhere"},
    {"search --space fbnet --space-options depht=1", 2,
     "it has no option 'depht': known are width,"},
    {"search --tune layers", 2, "cannot tune 'layers': known are lr, momentum,"},
    {"search --tune epochs --schedule asha --evaluator synthetic --out tuned", 2,
     "epochs cannot be tuned under the schedule asha, which gives them out"},
    {"net", 2, "Usage: nasfarm net list|cost|draw|train"},
    {"net paint", 2, "there is no \"paint\"; there are list, cost, draw and train"},
    {"net list resnet8", 2, "it takes no network"},
    {"net cost", 2, "which network?"},
    {"net cost lenet", 2, "there is no known network 'lenet'"},
    {"net cost mobile", 2, "like it are mobilenetv2-0.5, mobilenetv2-1.0,"},
    {"net cost resnet8 --input 0x3", 2, "--input 0x3: expected HxWxC"},
    {"net cost resnet8 --input 8x8x1x1", 2, "--input 8x8x1x1: expected HxWxC"},
    {"net cost resnet8 --classes 0", 2, "--classes 0: a number from 1 to 65536"},
    {"net cost nasnet-a-mobile --input 2x2x3", 2, "too small for the stem 'imagenet'"},
    {"net train", 2, "which network?"},
    {"net train resnet8 --space-options net=x", 2, "--space-options goes with --space"},
    {"net train --space nasbench201 --out run '|none'", 2, "character 6 of the architecture"},
    {"net train resnet8 --epochs 0", 2, "--final-epochs: 0 is outside"},
    {"net train resnet8 --trials 3", 2, "unrecognized option '--trials'"},
    {"version --loud", 2, "unrecognized option '--loud'"},
    {"help nonsense", 2, "there is no command \"nonsense\""},
};

START_TEST(a_mistake_gets_one_sentence_and_its_exit_code)
{
    write_text(
        "bad.csv",
        "architecture,fitness\n|none~0|+|none~0|none~1|+|none~0|none~1|none~2|,0.1\nbad,0.9\n");
    write_text("unknown.yaml", "epochs: 2\ncolour: red\n");
    write_text("value.yaml", "# a comment\n\nepochs: -1\n");
    write_text("syntax.yaml", "lr: 0.1\n\tepochs: 2\n");
    write_text("twice.yaml", "lr: 0.1\nepochs: 2\nlr: 0.2\n");
    write_text("list.yaml", "- 1\n- 2\n");
    write_text("two.yaml", "lr: 0.1\nepochs: 2\n---\nlr: 0.2\n");
    write_text("alias.yaml", "epochs: *two\n");
    write_text("empty-value.yaml", "epochs:\n");
    write_text("zeros.yaml", "\x01\x02");
    write_text("schedule.yaml", "optimizer: rmsprop\nepsilon: 1\nlr-schedule: linear\n");
    write_text("nested.yaml", "epochs: [1, 2]\n");
    expect(mistakes[_i].line, mistakes[_i].status, mistakes[_i].sentence);
}
END_TEST

static const char *const commands[] = {"search", "resume", "status", "list",  "show", "front",
                                       "best",   "replay", "export", "space", "net"};

START_TEST(every_command_has_help_with_an_example)
{
    char line[64], example[64];
    snprintf(line, sizeof line, "%s --help", commands[_i]);
    snprintf(example, sizeof example, "nasfarm %s ", commands[_i]);
    expect(line, 0, "Example");
    expect(line, 0, example);
}
END_TEST

START_TEST(the_version_is_told_to_people_and_machines)
{
    expect("version", 0, "nasfarm " NASFARM_VERSION);
    expect("--version", 0, "nasfarm " NASFARM_VERSION);
    expect("version --json", 0, "\"version\":\"" NASFARM_VERSION "\"");
}
END_TEST

static json_t *member(json_t *of, const char *name)
{
    json_t *one = json_object_get(of, name);
    ck_assert_msg(json_is_object(one), "\"%s\" is not there", name);
    return one;
}

START_TEST(the_version_says_what_each_program_was_built_from_and_runs_with)
{
    static const char *const programs[] = {"nasfarm", "nasfarm-broker", "nasfarm-worker"};
    expect("version --json", 0, "{");
    json_t *all = json_load_file(log_path, 0, NULL);
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        json_t *one = i == 0 ? all : member(all, programs[i]);
        ck_assert_str_eq(json_string_value(json_object_get(one, "name")), programs[i]);
        for (const char *const *fact = (const char *const[]){"revision", "compiler", "build", NULL};
             *fact != NULL; fact++)
            ck_assert_msg(json_string_length(json_object_get(one, *fact)) > 0, "%s: no %s",
                          programs[i], *fact);
        ck_assert_ptr_nonnull(json_object_get(member(one, "libraries"), "libzmq"));
    }
    ck_assert_ptr_nonnull(json_object_get(member(all, "libraries"), "LMDB"));
    json_t *worker = member(all, "nasfarm-worker");
    const char *chosen = json_string_value(json_object_get(worker, "kernels"));
    const char *built = json_string_value(json_object_get(worker, "kernels_built"));
    ck_assert_ptr_nonnull(strstr(built, chosen));
    ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(worker, "blas")), "OpenBLAS"));
    json_decref(all);
}
END_TEST

START_TEST(known_networks_are_listed_measured_and_drawn)
{
    expect("net list", 0, "300,774,272");
    expect("net list --json", 0, "\"macs\": 300774272");
    expect("net cost mobilenetv2-1.0", 0, "300,774,272");
    expect("net cost mobilenetv2-1.0 --input 32 --classes 10 --json", 0, "\"parameters\": 2236682");
    expect("net draw resnet8 --dot", 0, "digraph");
    expect("net draw resnet8 --dot -o net.dot", 0, "");
    ck_assert_int_eq(access("net.dot", R_OK), 0);
}
END_TEST

START_TEST(the_help_of_search_lists_spaces_options_and_what_can_be_tuned)
{
    expect("search --help", 0, "ofa-mobilenetv3: ");
    expect("search --help", 0, "phi: the largest step of compound scaling (0 to 7, default 1)");
    expect("search --help", 0, "(--tune): lr, momentum,");
}
END_TEST

/* ------------------------------------------------------------------ a search */

#define SYNTHETIC "--evaluator synthetic --slots 4 --population 10 --sample 3 "

START_TEST(a_search_begins_with_a_known_network_and_tunes_its_training)
{
    expect("search --out run --trials 5 --no-final --strategy random --start-from "
           "nasbench201-9930 --tune lr,batch=16:32 --slots 1 --evaluator synthetic",
           0, "The best network found is trial");
    expect("show run 0", 0,
           "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|"
           "nor_conv_3x3~2|;lr=0.05,batch=32");
    expect("list run --all", 0, ";lr=");
    expect("status run", 0, "stages, tuning lr=0.001:0.5,batch=16:32");
    expect("replay run", 0, "the same, bit for bit");
    expect("search --out other --start-from resnet8 --evaluator synthetic", 2,
           "what the search starts from: resnet8 is no point of space nasbench201, but of "
           "resnet-like");
}
END_TEST

START_TEST(a_search_for_several_numbers_ends_with_a_front)
{
    write_text(
        "wanted.yaml",
        "strategy: nsga2\nstrategy-options: population=10\nobjective: accuracy,-macs,-latency\n"
        "constraint: params<100k,latency<900us\ntrials: 40\nevaluator: synthetic\nno-final: "
        "yes\nout: run\n");
    expect("search --config wanted.yaml", 0, "No trial beats these in accuracy,-macs,-latency:");
    expect("replay run", 0, "the same, bit for bit");
    expect("front run", 0, "hypervolume ");
    expect("front run --objective accuracy,-params --svg front.svg", 0, "the worst of ");
    expect("front run --json", 0, "\"reference\"");
    expect("resume run --trials 60", 0, "No trial beats these in accuracy,-macs,-latency:");
    expect("replay run", 0, "the same, bit for bit");
}
END_TEST

START_TEST(a_search_begins_with_the_best_of_another_or_of_a_table)
{
    expect("search --out run --trials 20 --no-final --strategy random --evaluator synthetic", 0,
           "best network");
    expect("search --out next --trials 10 --no-final --start-from run,top=3 --slots 1 --evaluator "
           "synthetic",
           0, "best network");
    run("show run best --json");
    json_t *best = json_load_file(log_path, 0, NULL), *first;
    run("show next 0 --json");
    first = json_load_file(log_path, 0, NULL);
    ck_assert_str_eq(json_string_value(json_object_get(best, "notation")),
                     json_string_value(json_object_get(first, "notation")));
    json_decref(best);
    json_decref(first);
    expect("replay next", 0, "the same, bit for bit");
    write_text("start.csv",
               "fitness,architecture\n0.1,|none~0|+|none~0|none~1|+|none~0|none~1|none~2|\n"
               "0.9,|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|\n");
    expect("search --out third --trials 5 --no-final --start-from start.csv --slots 1 --evaluator "
           "synthetic",
           0, "best network");
    expect("show third 0", 0, "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|");
}
END_TEST

START_TEST(a_search_runs_resumes_replays_and_exports)
{
    expect("search --out run --trials 40 --no-final " SYNTHETIC, 0,
           "The best network found is trial");
    expect("status run", 0, "40 recorded");
    expect("status run --json", 0, "\"done\": 40");
    expect("list run --best 3", 0, "nor_conv");
    expect("list run --all --json", 0, "\"trial\": 39");
    expect("list run --failed", 0, "reason");
    expect("show run 0", 0, "parameters");
    expect("show run 0 --json", 0, "\"genome\"");
    expect("best run", 0, "validation");
    expect("replay run", 0, "the same, bit for bit");
    expect("export run best --dot --cell", 0, "digraph");
    expect("export run 3 --json -o net.json", 0, "");
    json_t *net = json_load_file("net.json", 0, NULL);
    ck_assert_ptr_nonnull(json_object_get(net, "nodes"));
    json_decref(net);
    expect("search --out run " SYNTHETIC, 2,
           "run already holds a search: go on with `nasfarm resume run`");
    expect("search --out run --continue " SYNTHETIC, 0, "All trials are recorded already");
    expect("show run 40", 2, "there is no trial 40: the run has 0 .. 39");
    expect("show run seven", 2, "\"seven\" is no trial");
    expect("export run 3 --genotype", 0, "|+|");
    expect("export run 3 --weights w", 2, "no weights yet");
    expect("export run 3 --onnx x", 2, "no weights yet");
    expect("resume run --trials 5", 2, "5");
    expect("resume run", 0, "All trials are recorded already");
    expect("resume run --trials 60", 0, "The best network found is trial");
    expect("status run", 0, "60 recorded");
    expect("replay run --json", 0, "\"same\": true");
}
END_TEST

#define MY_SPACE                                                                                   \
    "space: mine\n"                                                                                \
    "stem: {channels: [4, 8, 12]}\n"                                                               \
    "stages:\n"                                                                                    \
    "  - {op: [conv, mbconv], channels: [4, 6, 8], kernel: [3, 5], depth: [1, 2]}\n"               \
    "  - {op: mbconv, channels: 8, stride: 2, expand: [1, 2, 3], depth: [1, 2]}\n"

/* The file is read once: the search remembers what it said. */
START_TEST(a_search_of_ones_own_space_needs_its_file_only_to_begin)
{
    write_text("mine.yaml", MY_SPACE);
    write_text("wrong.yaml", "space: mine\nstem: {channels: 0}\n");
    expect("search --space wrong.yaml " SYNTHETIC, 2,
           "wrong.yaml:2: channels: 0 must be a whole number from 1 to 4096");
    expect("search --space none.yaml " SYNTHETIC, 2, "cannot read none.yaml");
    expect("search --space mine.yaml --trials 12 --no-final " SYNTHETIC, 0,
           "The best network found is trial");
    ck_assert_int_eq(unlink("mine.yaml"), 0);
    expect("status nasfarm-runs/digits-mine", 0, "12 recorded");
    expect("best nasfarm-runs/digits-mine", 0, "mine");
    expect("export nasfarm-runs/digits-mine best --dot --network", 0, "digraph");
    expect("resume nasfarm-runs/digits-mine --trials 20", 0, "The best network found is trial");
    expect("replay nasfarm-runs/digits-mine", 0, "the same, bit for bit");
}
END_TEST

START_TEST(spaces_are_listed_shown_drawn_from_counted_and_checked)
{
    write_text("mine.yaml", MY_SPACE);
    expect("space list", 0, "nasbench201");
    expect("space list --json", 0, "\"space\": \"dag\"");
    expect("space show mine.yaml", 0, "s0.b1.op                 conv mbconv   when s0.depth >= 2");
    expect("space show darts --images 28x28x1 --channels 12", 0, "12 channels, 1 cells a stage");
    expect("space show dag --definition", 0, "wiring: graph");
    expect("space show darts --definition", 2, "built in");
    expect("space show hyperparameters", 0, "by its logarithm");
    expect("space sample mine.yaml -n 3 --seed 5", 0, "mbconv");
    expect("space sample nasbench101 -n 2 --json --images 8x8x1", 0, "\"params\"");
    expect("space count mine.yaml", 0, "2160");
    expect("space count enas-macro", 0, "1.6e29");
    expect("space validate mine.yaml --images 8x8x1", 0,
           "200 random genomes 200 are networks for 8x8x1");
    expect("space", 2, "what? One of list, show, sample, count, validate");
    expect("space draw darts", 2, "is none of list, show, sample, count, validate");
    expect("space show", 2, "which? Give a name");
    expect("space show dart", 2, "there is no search space 'dart'");
    expect("space show darts --images 28", 2, "as in 28x28x1");
    expect("space sample darts -n 0", 2, "a number from 1 on");
}
END_TEST

START_TEST(a_known_network_is_trained_without_a_search)
{
    expect("net train resnet8 --epochs 7 --out known --evaluator synthetic", 0,
           "Training resnet8 on digits (8x8x1, 10 classes, 1797 images): 7 epochs");
    expect("show known 0", 0, "no search: trained as the best of one would be");
    expect("status known", 0, "fixed (net=resnet8)");
    expect("replay known", 0, "the same, bit for bit");
    expect("resume known", 0, "All trials are recorded already");
}
END_TEST

/* A network in the benchmark's notation, with the benchmark's parameters; what was found, read back; and a mistake. */
START_TEST(an_architecture_is_read_measured_and_drawn)
{
    expect("import --space nasbench201 --stages 3 --cells 5 "
           "'|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|"
           "nor_conv_3x3~2|'",
           0, "1,288,506");
    expect("net train --out one --evaluator synthetic --space nasbench201 "
           "'|none~0|+|none~0|none~1|+|skip_connect~0|none~1|avg_pool_3x3~2|'",
           0, "Training a network of space nasbench201");
    expect("export one best --genotype", 0,
           "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|avg_pool_3x3~2|\n");
    expect("search --out run --trials 5 --no-final --space darts " SYNTHETIC, 0, "");
    expect("export run 3 --genotype -o genotype", 0, "");
    expect("import --space darts --images 8x8x1 --json - <genotype", 0, "\"macs\"");
    expect("import --space darts --images 8x8x1 --dot --outline - <genotype", 0, "<B>stem</B>");
    expect("import --space nasbench201 - <genotype", 2, "expected '|'\n  Genotype(normal=[(");
    expect("import --space darts --images 8x8x1 - <genotype", 0, "\nreduction\n  2       = ");
}
END_TEST

/* A library of that name that cannot be loaded stands for one that is not there. */
START_TEST(without_graphviz_a_picture_is_dot_and_a_sentence_says_why)
{
    ck_assert_int_eq(mkdir("no-graphviz", 0777), 0);
    write_text("no-graphviz/libgvc.so.6", "");
    ck_assert_int_eq(setenv("LD_LIBRARY_PATH", "no-graphviz", 1), 0);
    expect("search --out run --trials 10 --no-final " SYNTHETIC, 0,
           "SVG needs the graphviz library (libgvc.so.6)");
    expect("status run", 0, "10 recorded");
    ck_assert_int_eq(access("run/best.dot", R_OK), 0);
    ck_assert_int_ne(access("run/best.svg", F_OK), 0);
    expect("export run best --svg -o cell.svg", 1, "apt install libgvc6', or export DOT");
    ck_assert_int_ne(access("cell.svg", F_OK), 0);
    expect("export run best --dot --cell -o cell.dot", 0, "");
    ck_assert_int_eq(access("cell.dot", R_OK), 0);
}
END_TEST

START_TEST(json_output_is_one_object_a_line)
{
    char line[4096];
    int lines = 0;
    ck_assert_int_eq(run("search --out run --trials 10 --no-final --json " SYNTHETIC "2>err"), 0);
    FILE *log = fopen(log_path, "r");
    ck_assert_ptr_nonnull(log);
    for (; fgets(line, sizeof line, log) != NULL; lines++) {
        json_t *json = json_loads(line, 0, NULL);
        ck_assert_msg(json_string_value(json_object_get(json, "event")) != NULL, "no event: %s",
                      line);
        json_decref(json);
    }
    fclose(log);
    ck_assert_int_ge(lines, 12); /* ten results, the end, what was found */
}
END_TEST

START_TEST(yaml_sets_what_the_command_line_does_not)
{
    write_text(
        "a.yaml",
        "trials: 12\npopulation: 5\nsample: 2\nevaluator: synthetic\nno-final: yes\nout: run\n");
    expect("search --config a.yaml --trials 7", 0, "population=5,sample=2");
    expect("status run", 0, "7 wanted");
}
END_TEST

/* Asks `nasfarm status` until some trials are recorded. */
static void wait_for_trials(void)
{
    for (double end = kit_now_s() + 60; kit_now_s() < end;) {
        if (run("status run --json") != 0)
            continue; /* not there yet */
        json_t *json = json_load_file(log_path, 0, NULL);
        bool some = json_integer_value(json_object_get(json, "done")) > 20;
        json_decref(json);
        if (some)
            return;
    }
    ck_abort_msg("no trial was recorded");
}

static const struct {
    int signal, status;
} stops[] = {{SIGINT, 130}, {SIGTERM, 0}, {SIGHUP, 0}};

static const char *text_of(const json_t *recipe, const char *key)
{
    return json_string_value(json_object_get(recipe, key));
}

static double number_of(const json_t *recipe, const char *key)
{
    return json_number_value(json_object_get(recipe, key));
}

/* What is set for the training is what an evaluator is told; the final training follows, but for what is set for it. */
START_TEST(settings_of_the_training_reach_the_evaluator)
{
    json_t *recipes[2];
    char *line, *rest;

    write_text("a.yaml", "optimizer: adam\nmixup: 0.3\ncutmix: 1\nema: 0.99\nema-warmup: no\n");
    expect("search --config a.yaml --optimizer rmsprop --epsilon 1 --square-decay 0.95 "
           "--epsilon-outside --decay-weights-only --lr-schedule milestones:2,3.5,0.1 "
           "--aux-weight 0.2 --diverge-above 5 --measure-latency --final-lr-schedule constant "
           "--final-mixup 0 "
           "--trials 1 --strategy random --slots 1 --out run --exec "
           "'cat >> tasks; echo \"{\\\"final\\\": true, \\\"accuracy\\\": 0.5, "
           "\\\"latency_us\\\": 12.5}\"'",
           0, "");
    expect("show run 0", 0, "12.5 us for one image");
    expect("show run 0 --json", 0, "\"latency_us\": 12.5");
    line = kit_read("tasks");
    ck_assert_ptr_nonnull(rest = strchr(line, '\n'));
    *rest++ = '\0';
    for (int i = 0; i < 2; i++) {
        json_t *task = json_loads(i == 0 ? line : rest, 0, NULL);

        ck_assert_ptr_nonnull(task);
        recipes[i] = json_incref(json_object_get(task, "recipe"));
        json_decref(task);
        ck_assert_str_eq(text_of(recipes[i], "optimizer"), "rmsprop");
        ck_assert_double_eq(number_of(recipes[i], "epsilon"), 1);
        ck_assert_double_eq(number_of(recipes[i], "square_decay"), 0.95);
        ck_assert(json_is_true(json_object_get(recipes[i], "epsilon_outside")));
        ck_assert(json_is_true(json_object_get(recipes[i], "decay_weights_only")));
        ck_assert_double_eq(number_of(recipes[i], "cutmix"), 1);
        ck_assert_double_eq(number_of(recipes[i], "ema"), 0.99);
        ck_assert(json_is_false(json_object_get(recipes[i], "ema_warmup")));
        ck_assert_double_eq(number_of(recipes[i], "aux_weight"), 0.2);
        ck_assert_double_eq(number_of(recipes[i], "diverge_above"), 5);
        ck_assert(json_is_true(json_object_get(recipes[i], "measure_latency")));
        ck_assert_double_eq(number_of(recipes[i], "pause_epochs"), 0);
    }
    ck_assert_str_eq(text_of(recipes[0], "schedule"), "milestones:2,3.5,0.1");
    ck_assert_double_eq(number_of(recipes[0], "mixup"), 0.3);
    ck_assert_str_eq(text_of(recipes[1], "schedule"), "constant");
    ck_assert_double_eq(number_of(recipes[1], "mixup"), 0);
    json_decref(recipes[0]);
    json_decref(recipes[1]);
    free(line);
}
END_TEST

START_TEST(a_signal_drains_and_prints_the_line_that_resumes)
{
    pid_t pid =
        launch("search --out run --trials 1000000 --no-final --evaluator synthetic:5-20 --slots 2 "
               "--train-known-again --population 10 --sample 3",
               "search.log");
    wait_for_trials();
    kill(pid, stops[_i].signal);
    int status = kit_wait(pid, 60);
    char *log = kit_read("search.log");
    ck_assert_msg(status == stops[_i].status, "exit code %d:\n%s", status, log);
    ck_assert_msg(strstr(log, "\n  nasfarm resume run\n") != NULL, "%s", log);
    free(log);
    expect("replay run", 0, "the same, bit for bit");
    expect("resume run --evaluator synthetic:bad", 2, "--evaluator synthetic:bad");
}
END_TEST

START_TEST(a_local_worker_that_cannot_start_is_told_with_its_own_sentence)
{
    expect("search --data idx:nowhere --out run", 2, "there is no nowhere/train-images");
    ck_assert_msg(access("run", F_OK) != 0, "a search that never began left its folder behind");
}
END_TEST

START_TEST(what_cannot_be_written_fails_and_harms_nothing)
{
    struct stat st;
    expect("search --out run --trials 10 " SYNTHETIC, 0, "The best network found is trial");
    expect("list run --all >/dev/full", 1, "cannot write all of the output: No space left");
    expect("list run --all | head -1", 0, "trial");
    /* A pipe and a link stay what they are; as root, so would a device. */
    ck_assert_int_eq(mkfifo("pipe", 0666), 0);
    expect("export run best --dot -o pipe & grep -c digraph <pipe", 0, "1");
    ck_assert_int_eq(lstat("pipe", &st), 0);
    ck_assert(S_ISFIFO(st.st_mode));
    write_text("file", "old");
    ck_assert_int_eq(symlink("file", "link"), 0);
    expect("export run best --dot -o link", 0, "");
    ck_assert_int_eq(lstat("link", &st), 0);
    ck_assert(S_ISLNK(st.st_mode));
    char *text = kit_read("file");
    ck_assert_ptr_nonnull(strstr(text, "digraph"));
    free(text);
    expect("export run best --weights w", 2, "returned no weights");
    ck_assert_int_eq(truncate("run/data.mdb", 12288), 0);
    expect("status run", 1, "data.mdb is damaged");
    expect("resume run --trials 20", 1, "data.mdb is damaged");
}
END_TEST

/* The process id in the last line that the program wrote into the farm's log. */
static pid_t last_pid(const char *program)
{
    char *log = kit_read("run/farm.log"), pattern[64];
    pid_t pid = 0;
    snprintf(pattern, sizeof pattern, "%s[", program);
    for (const char *at = log; at != NULL && (at = strstr(at, pattern)) != NULL; at++)
        pid = (pid_t)strtol(at + strlen(pattern), NULL, 10);
    free(log);
    return pid;
}

static size_t count_in(const char *file, const char *text)
{
    char *all = kit_read(file);
    size_t n = 0;
    for (const char *at = all; (at = strstr(at, text)) != NULL; at++)
        n++;
    free(all);
    return n;
}

/* Until the search has told so many results. */
static void wait_for_results(const char *log, size_t n)
{
    double until = kit_now_s() + 30;
    while (count_in(log, "\"event\":\"result\"") < n) {
        ck_assert_msg(kit_now_s() < until, "no %zu results within 30 s", n);
        usleep(10000);
    }
}

START_TEST(a_local_farm_whose_parts_are_killed_goes_on)
{
    static const char *const parts[] = {"nasfarm-broker", "nasfarm-worker", "nasfarm-broker"};
    pid_t pid = launch("search --out run --trials 400 --no-final --evaluator synthetic:20-30 "
                       "--slots 2 --json",
                       "search.log");
    for (size_t i = 0; i < 3; i++) {
        wait_for_results("search.log", 60 * (i + 1)); /* more than was on the way: all are back */
        pid_t part = last_pid(parts[i]);
        ck_assert_msg(part > 1 && kill(part, SIGKILL) == 0, "no %s to kill", parts[i]);
    }
    int status = kit_wait(pid, 60);
    char *log = kit_read("search.log");
    ck_assert_msg(status == 0, "exit code %d:\n%s", status, log);
    free(log);
    expect("status run", 0, "400 recorded");
    expect("replay run", 0, "the same, bit for bit");
}
END_TEST

START_TEST(closed_standard_descriptors_do_not_matter)
{
    ck_assert_int_eq(run("search --out run --trials 10 --no-final " SYNTHETIC " <&- >&- 2>&-"), 0);
    expect("status run", 0, "10 recorded");
    expect("replay run", 0, "the same, bit for bit");
}
END_TEST

/* ---- keys ------------------------------------------------------------------------------------------------------ */

static void expect_mode(const char *path, mode_t mode)
{
    struct stat s;
    ck_assert_msg(stat(path, &s) == 0, "%s is missing", path);
    ck_assert_msg((s.st_mode & 07777) == mode, "%s has mode %04o, not %04o", path,
                  (unsigned)s.st_mode & 07777, (unsigned)mode);
}

static void expect_same(const char *path, const char *text, bool same)
{
    char *now = kit_read(path);
    ck_assert_msg((strcmp(now, text) == 0) == same, "%s is%s what it was", path,
                  same ? " not" : "");
    free(now);
}

START_TEST(a_second_keygen_overwrites_nothing_and_missing_keeps_what_is_there)
{
    expect("keygen keys", 0, "keys/allow/worker");
    char *worker = kit_read("keys/worker_secret"), *broker = kit_read("keys/broker_secret");
    expect("keygen keys", 2, "has keys already");
    expect("keygen --missing keys", 0, "keys/worker_secret  kept");
    ck_assert_int_eq(unlink("keys/broker"), 0);
    ck_assert_int_eq(unlink("keys/observer_secret"), 0);
    expect("keygen --missing keys", 0, "secret keys/observer_secret  public keys/allow/observer");
    expect_same("keys/worker_secret", worker, true);
    expect_same("keys/broker_secret", broker, true);
    expect_mode("keys/broker", 0644); /* made again from the secret */
    ck_assert_int_eq(chmod("keys/worker_secret", 0644), 0);
    expect("keygen --missing keys", 2, "a secret key that others can read");
    ck_assert_int_eq(rename("keys/controller_secret", "keys/worker_secret"), 0);
    expect("keygen --missing keys", 2, "keys/worker_secret is not a worker's key");
    free(worker);
    free(broker);
}
END_TEST

START_TEST(keys_apart_give_each_role_a_folder_without_the_secrets_of_others)
{
    expect("keygen --apart --missing keys", 0, "keys/worker/worker_secret");
    expect_mode("keys/broker", 0700);
    expect_mode("keys/broker/broker_secret", 0600);
    expect_mode("keys/broker/allow/worker", 0644);
    expect_mode("keys/worker", 0700);
    expect_mode("keys/worker/worker_secret", 0600);
    ck_assert_int_ne(access("keys/worker/broker_secret", F_OK), 0);
    char *broker = kit_read("keys/broker/broker");
    expect_same("keys/worker/broker", broker, true);
    expect_same("keys/controller/broker", broker, true);
    expect("keygen --apart --role worker --name gpu-7 keys", 0, "keys/broker/allow/gpu-7");
    free(broker);
}
END_TEST

START_TEST(a_key_that_was_taken_out_of_the_allow_list_stays_out_until_there_is_a_new_broker)
{
    expect("keygen --apart --missing keys", 0, "keys/worker/worker_secret");
    char *broker = kit_read("keys/worker/broker");
    ck_assert_int_eq(unlink("keys/broker/allow/worker"), 0);
    expect("keygen --apart --missing keys", 0, "kept, and stays out of the allow list");
    ck_assert_int_ne(access("keys/broker/allow/worker", F_OK), 0);
    ck_assert_int_eq(unlink("keys/broker/broker_secret"), 0);
    expect("keygen --apart --missing keys", 0, "keys/broker/broker_secret  public");
    expect_mode("keys/broker/allow/worker", 0644);
    expect_same("keys/worker/broker", broker, false); /* all are given the new one */
    free(broker);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli");
    TCase *typed = tcase_create("mistakes"), *search = tcase_create("search");
    tcase_add_checked_fixture(typed, begin, finish);
    tcase_set_timeout(typed, 60);
    tcase_add_loop_test(typed, a_mistake_gets_one_sentence_and_its_exit_code, 0,
                        (int)(sizeof mistakes / sizeof mistakes[0]));
    tcase_add_loop_test(typed, every_command_has_help_with_an_example, 0,
                        (int)(sizeof commands / sizeof commands[0]));
    tcase_add_test(typed, the_version_is_told_to_people_and_machines);
    tcase_add_test(typed, the_version_says_what_each_program_was_built_from_and_runs_with);
    tcase_add_test(typed, a_second_keygen_overwrites_nothing_and_missing_keeps_what_is_there);
    tcase_add_test(typed, keys_apart_give_each_role_a_folder_without_the_secrets_of_others);
    tcase_add_test(
        typed, a_key_that_was_taken_out_of_the_allow_list_stays_out_until_there_is_a_new_broker);
    suite_add_tcase(suite, typed);
    tcase_add_checked_fixture(search, begin, finish);
    tcase_set_timeout(search, 110);
    tcase_add_test(search, a_known_network_is_trained_without_a_search);
    tcase_add_test(search, known_networks_are_listed_measured_and_drawn);
    tcase_add_test(search, the_help_of_search_lists_spaces_options_and_what_can_be_tuned);
    tcase_add_test(search, a_search_begins_with_a_known_network_and_tunes_its_training);
    tcase_add_test(search, a_search_for_several_numbers_ends_with_a_front);
    tcase_add_test(search, a_search_begins_with_the_best_of_another_or_of_a_table);
    tcase_add_test(search, a_search_runs_resumes_replays_and_exports);
    tcase_add_test(search, an_architecture_is_read_measured_and_drawn);
    tcase_add_test(search, a_search_of_ones_own_space_needs_its_file_only_to_begin);
    tcase_add_test(search, spaces_are_listed_shown_drawn_from_counted_and_checked);
    tcase_add_test(search, without_graphviz_a_picture_is_dot_and_a_sentence_says_why);
    tcase_add_test(search, json_output_is_one_object_a_line);
    tcase_add_test(search, yaml_sets_what_the_command_line_does_not);
    tcase_add_test(search, settings_of_the_training_reach_the_evaluator);
    tcase_add_loop_test(search, a_signal_drains_and_prints_the_line_that_resumes, 0,
                        (int)(sizeof stops / sizeof stops[0]));
    tcase_add_test(search, a_local_worker_that_cannot_start_is_told_with_its_own_sentence);
    tcase_add_test(search, what_cannot_be_written_fails_and_harms_nothing);
    tcase_add_test(search, a_local_farm_whose_parts_are_killed_goes_on);
    tcase_add_test(search, closed_standard_descriptors_do_not_matter);
    suite_add_tcase(suite, search);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
