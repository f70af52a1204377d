/*
 * Input that is absurd, unusual or only rarely tried, given to the program
 * from outside: rates at which nothing can be computed, words and files that
 * other programs write, points where eigenvalues are equal or zero.
 */
#include "outside.h"
#include "logs.h"
#include "small.h"
#include "program.h"
#include <sched.h>
#include <sys/ioctl.h>

/* The MLP, where a test needs its size; a second or so. */
#define HUNDRED "--samples 100 --threads 2"
#define ROUGH "--samples 20 --tol 1e-2 --threads 2"
#define P_MLP 656810
#define P_TINY 12193
#define P_CNN 30634 /* ten classes */

/* The first line with this in it, "" without; they are as many as `count`. */
static const char *line_with(const char *text, const char *word, size_t *count)
{
    static char line[1024];
    size_t len;

    *line = 0;
    for (*count = 0; *text; text += len + (text[len] == '\n')) {
        const char *at = strstr(text, word);

        len = strcspn(text, "\n");
        if (!at || at >= text + len)
            continue;
        if (!(*count)++)
            snprintf(line, sizeof line, "%.*s", (int)len, text);
    }
    return line;
}

/* The digits stand in the text, and no others beside them. */
static bool has_number(const char *text, const char *digits)
{
    const char *at;
    size_t len = strlen(digits);

    for (at = text; (at = strstr(at, digits)); at++)
        if ((at == text || !strchr("0123456789", at[-1])) &&
            (!at[len] || !strchr("0123456789", at[len])))
            return true;
    return false;
}

/* The value of a line "name value" on standard output. */
static double said_value(const char *name)
{
    char key[32];
    const char *at;

    snprintf(key, sizeof key, "\n%s ", name);
    at = strstr(said.out, key);
    cr_assert(at != NULL, "no %s in: %s", name, said.out);
    return strtod(at + strlen(key), NULL);
}

/* The log of the last run, in log_a. */
static const struct block *logged(size_t block)
{
    log_read(&log_a, in_folder("log"));
    cr_assert(log_a.blocks > block, "%zu blocks", log_a.blocks);
    cr_assert(log_a.block[block].rows > 0, "no row in block %zu", block);
    return &log_a.block[block];
}

/* --- Vectors in .npy files --- */

static double vector[P_MLP];

/* x[n] behind a header of that format; 2 and 3 count its bytes in four. */
static void write_npy(const char *name, int version, const char *header,
                      size_t n, const double *x)
{
    static unsigned char bytes[256 + sizeof vector];
    size_t start = version == 1 ? 10 : 12, len = strlen(header);
    size_t end = start + 180;

    cr_assert(len < 180 && n <= P_MLP, "%s", name);
    memset(bytes, 0, start);
    memcpy(bytes, "\x93NUMPY", 6);
    bytes[6] = (unsigned char)version;
    bytes[8] = 180;
    memset(bytes + start, ' ', 180);
    memcpy(bytes + start, header, len);
    bytes[end - 1] = '\n';
    memcpy(bytes + end, x, n * sizeof *x);
    write_file(name, bytes, end + n * sizeof *x);
}

#define DICT(descr, order, shape) \
    "{'descr': '" descr "', 'fortran_order': " order ", 'shape': " shape ", }"

/* n numbers: all `each`, but the last `count` of them `last`. */
static void write_vector(const char *name, size_t n, double each, size_t count,
                         double last)
{
    char header[128];
    size_t i;

    for (i = 0; i < n; i++)
        vector[i] = i < n - count ? each : last;
    snprintf(header, sizeof header, DICT("<f8", "False", "(%zu,)"), n);
    write_npy(name, 1, header, n, vector);
}

/* --- Learning rates --- */

static void diverges_at(const char *rate, const char *options)
{
    char line[256];

    snprintf(line, sizeof line, "run %s --steps 8 --lr %s", options, rate);
    exits_with(EOS_DIVERGED, line);
    last_words(line, "--lr");
}

/* Where lambda2 does not end it, it goes on until nothing is finite. */
Test(rate, far_over_the_edge_diverges)
{
    prepare();
    diverges_at("1e9", TINY " --stop-lambda2 inf");
    diverges_at("50", TINY " --stop-lambda2 inf");
    folder_remove();
}

/* S on the row of t = 0 is the one that eos train tells there: at theta_0, not
 * at a midpoint that such a rate puts far away.  lambda2 is over 1.9 / eta as
 * well: that must not pass for an ordinary end. */
Test(rate, far_over_the_edge_is_measured_and_no_success)
{
    static const char *const rates[] = {"1e9", "50"};
    double expected, found;
    size_t i;

    prepare();
    exits_with(EOS_DONE, "train " ROUGH " --steps 0 --log log");
    expected = log_value(logged(0), 0, "S");
    for (i = 0; i < sizeof rates / sizeof *rates; i++) {
        diverges_at(rates[i], ROUGH " --log log");
        found = log_value(logged(0), 0, "S");
        near(rates[i], found, expected, 1e-3);
        cr_assert(log_value(&log_a.block[0], 0, "step") == 0, "step");
    }
    folder_remove();
}

/* 1.2e-308 is near the smallest whose 2/eta is finite. */
Test(rate, has_a_finite_edge)
{
    prepare();
    refuses("run " TINY " --max-steps 1 --lr 1e-320", "--lr");
    refuses("run " TINY " --max-steps 1 --lr 1e-308", "--lr");
    refuses("train " TINY " --steps 0 --lr 5e-324", "--lr");
    refuses("run " TINY " --lr 1.2e-308 --data gone.bin", "gone.bin");
    folder_remove();
}

/* Over 2 it would leave directions out that are unstable. */
Test(band, is_at_most_2)
{
    prepare();
    refuses("run " TINY " --unstable 2 --max-steps 1 --band 3", "--band");
    refuses("run " TINY " --unstable 2 --max-steps 1 --band 2.0001", "--band");
    refuses("run " TINY " --unstable 2 --band 2 --data gone.bin", "gone.bin");
    folder_remove();
}

/* --- A loss that no longer changes --- */

static void stalls(const char *arguments)
{
    const char *stop;

    exits_with(EOS_UNREACHED, arguments);
    last_words(arguments, "no longer changes");
    log_read(&log_a, in_folder("log"));
    stop = log_comment(&log_a, "summary stop");
    cr_assert(stop && !strcmp(stop, "stalled"), "eos %s: stop: %s", arguments,
              stop ? stop : "none");
}

/* The loss is compared after 1,000 steps and after 2,000. */
Test(stalled, loss_ends_the_approach)
{
    prepare();
    stalls("run " TINY " --lr 1e-300 --max-steps 2500 --log log");
    folder_remove();
}

/* 1e-15 after 100 steps, and never the same from step to step. */
Test(stalled, loss_of_nothing_ends_the_approach)
{
    const struct block *b;
    double last;

    prepare();
    stalls("run " TINY " --lr 0.01 --max-steps 5000 --log log");
    b = logged(0);
    last = log_value(b, b->rows - 1, "step");
    cr_assert(last > 0 && last <= 2000, "it went on to step %.0f", last);
    folder_remove();
}

/* About 1e-6 in 1,000 steps: slow, but on its way. */
Test(stalled, is_not_what_is_slow)
{
    const char *stop;

    prepare();
    exits_with(EOS_UNREACHED,
               "run " TINY " --lr 1e-10 --max-steps 2100 --log log");
    log_read(&log_a, in_folder("log"));
    stop = log_comment(&log_a, "summary stop");
    cr_assert(stop && !strcmp(stop, "max-steps"), "stop: %s",
              stop ? stop : "none");
    folder_remove();
}

/* --- Words --- */

static char expected[sizeof said.out];

static void same_help(const char *arguments, const char *as)
{
    exits_with(EOS_DONE, as);
    memcpy(expected, said.out, said.out_size + 1);
    exits_with(EOS_DONE, arguments);
    cr_assert(!*said.err, "eos %s: it complains: %s", arguments, said.err);
    cr_assert(said.out_size > 0 && !strcmp(said.out, expected),
              "eos %s: other words than eos %s:\n%s", arguments, as, said.out);
}

Test(help, is_asked_for_in_many_ways)
{
    static const char *const commands[] = {"run", "train", "deriv", "toy",
                                           "synth"};
    char line[32], as[32];
    size_t i;

    prepare();
    same_help("-h", "--help");
    same_help("help", "--help");
    for (i = 0; i < sizeof commands / sizeof *commands; i++) {
        snprintf(as, sizeof as, "%s --help", commands[i]);
        snprintf(line, sizeof line, "%s -h", commands[i]);
        same_help(line, as);
        snprintf(line, sizeof line, "help %s", commands[i]);
        same_help(line, as);
    }
    folder_remove();
}

/* Each ends with a blank: the name is the empty argument behind it. */
Test(word, that_is_empty_names_no_file)
{
    static const char *const options[] = {"--log",  "--checkpoint", "--save",
                                          "--data", "--test",       "--init"};
    char line[128];
    size_t i;

    prepare();
    for (i = 0; i < sizeof options / sizeof *options; i++) {
        snprintf(line, sizeof line, "run " TINY " --max-steps 1 %s ",
                 options[i]);
        refuses(line, options[i]);
        snprintf(line, sizeof line, "train " TINY " --steps 0 %s ", options[i]);
        refuses(line, options[i]);
    }
    exits_with(EOS_USAGE, "deriv " TINY " --out ");
    last_words("deriv --out ''", "--out");
    folder_remove();
}

Test(word, for_the_seed_has_64_bits)
{
    prepare();
    refuses("run " TINY " --seed 18446744073709551616", "--seed");
    cr_assert(has_number(said.err, "18446744073709551615"), "%s", said.err);
    folder_remove();
}

Test(word, for_the_test_set_stands_once)
{
    prepare();
    write_images(in_folder("images"));
    refuses("run " TINY " --max-steps 1 --test images --test images", "--test");
    refuses("train " TINY " --steps 0 --test images --test images", "--test");
    folder_remove();
}

Test(kernel, of_no_name_is_the_best_one)
{
    char best[32];

    prepare();
    exits_with(EOS_DONE, "train " TINY " --steps 0 --log log");
    logged(0);
    snprintf(best, sizeof best, "%s", log_comment(&log_a, "kernel"));
    how.kernel = "";
    exits_with(EOS_DONE, "train " TINY " --steps 0 --log log");
    logged(0);
    cr_assert(!strcmp(log_comment(&log_a, "kernel"), best), "kernel %s, not %s",
              log_comment(&log_a, "kernel"), best);
    folder_remove();
}

/* --- Threads --- */

/* A build that has room for all of them has nothing to say. */
Test(threads, of_more_than_there_is_room_for_are_told)
{
    const char *line;
    size_t count;

    prepare();
    exits_with(EOS_DONE, "train --model cnn --loss bmse --samples 2 --steps 0 "
                         "--threads 256");
    line_with(said.err, " 256 threads", &count);
    if (!count) {
        line = line_with(said.err, "--threads", &count);
        cr_assert(count == 1 && strstr(line, "THREADS=256"),
                  "%zu lines on --threads: %s", count, said.err);
    }
    folder_remove();
}

/* As under taskset, in a container, in a batch job. */
Test(threads, are_as_many_as_the_process_may_use)
{
    cpu_set_t may, one;
    int first = 0;

    prepare();
    cr_assert(!sched_getaffinity(0, sizeof may, &may), "%s", strerror(errno));
    while (!CPU_ISSET(first, &may))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    cr_assert(!sched_setaffinity(0, sizeof one, &one), "%s", strerror(errno));
    exits_with(EOS_DONE, "train --model cnn --loss bmse --samples 2 --steps 0 "
                         "--log log");
    logged(0);
    cr_assert(!strcmp(log_comment(&log_a, "threads"), "1"), "threads: %s",
              log_comment(&log_a, "threads"));
    folder_remove();
}

/* --- .npy files of other programs --- */

Test(npy, of_other_elements_names_their_type)
{
    static const char *const types[][2] = {
        {"'<i8'", DICT("<i8", "False", "(12193,)")},
        {"'>f8'", DICT(">f8", "False", "(12193,)")},
        {"'<c16'", DICT("<c16", "False", "(12193,)")},
        {"'|O'", DICT("|O", "False", "(12193,)")},
    };
    size_t i;

    prepare();
    memset(vector, 0, sizeof vector);
    for (i = 0; i < sizeof types / sizeof *types; i++) {
        write_npy("in.npy", 1, types[i][1], P_TINY, vector);
        refuses("run " TINY " --max-steps 1 --init in.npy", "in.npy");
        cr_assert(strstr(said.err, types[i][0]), "no %s in: %s", types[i][0],
                  said.err);
        cr_assert(!strstr(said.err, "fort"), "more of the header: %s",
                  said.err);
    }
    folder_remove();
}

/* The parameters that the seed draws, in `vector`. */
static void drawn_parameters(void)
{
    static unsigned char bytes[1 << 18];
    size_t n;

    exits_with(EOS_DONE, "train " TINY " --steps 0 --save drawn");
    n = read_file(in_folder("drawn-gd.npy"), bytes, sizeof bytes);
    cr_assert(n > 8 * P_TINY, "%zu bytes", n);
    memcpy(vector, bytes + n - 8 * P_TINY, 8 * P_TINY);
}

/* One dimension has no order; Python 2 wrote its long integers with an L. */
Test(npy, is_read_in_every_form_of_one_dimension)
{
    static const struct {
        int version;
        const char *header;
    } forms[] = {
        {1, DICT("<f8", "True", "(12193,)")},
        {1, DICT("<f8", "False", "(12193, )")},
        {1, DICT("<f8", "False", "(12193L,)")},
        {2, DICT("<f8", "False", "(12193,)")},
        {3, DICT("<f8", "False", "(12193,)")},
    };
    size_t i;

    prepare();
    drawn_parameters();
    write_npy("in.npy", 1, DICT("<f8", "False", "(12193,)"), P_TINY, vector);
    exits_with(EOS_DONE,
               "train " TINY " --steps 2 --sharp 1 --init in.npy --log plain");
    log_read(&log_b, in_folder("plain"));
    for (i = 0; i < sizeof forms / sizeof *forms; i++) {
        write_npy("in.npy", forms[i].version, forms[i].header, P_TINY, vector);
        exits_with(EOS_DONE, "train " TINY " --steps 2 --sharp 1 --init in.npy "
                             "--log log");
        logged(0);
        same_rows(&log_b, &log_a, forms[i].header);
    }
    folder_remove();
}

/* What is read more generously than before still has its limits. */
Test(npy, of_another_shape_or_format_is_refused)
{
    static const struct {
        int version;
        const char *header;
    } forms[] = {
        {1, DICT("<f8", "True", "(12193, 1)")},
        {1, DICT("<f8", "False", "(12193, 1)")},
        {1, DICT("<f8", "False", "(12193LL,)")},
        {1, DICT("<f8", "False", "(12194L,)")},
        {4, DICT("<f8", "False", "(12193,)")},
    };
    size_t i;

    prepare();
    memset(vector, 0, sizeof vector);
    for (i = 0; i < sizeof forms / sizeof *forms; i++) {
        write_npy("in.npy", forms[i].version, forms[i].header, P_TINY, vector);
        refuses("run " TINY " --max-steps 1 --init in.npy", "in.npy");
    }
    folder_remove();
}

/* --- Test sets --- */

#define ON_TEST "train --samples 2 --threads 1 --steps 0 --test test.bin"
/* How many records are kept, or how many there are. */
static bool tells_of_records(const char *text)
{
    return has_number(text, "10000") || strstr(text, "10,000") ||
           has_number(text, "10050") || strstr(text, "10,050");
}

static bool header_tells_of_records(void)
{
    size_t i;

    for (i = 0; i < log_a.comments; i++)
        if (tells_of_records(log_a.comment[i]))
            return true;
    return false;
}

/* The same image in all classes, n times. */
static void write_test_set(size_t n)
{
    static unsigned char record[RECORD];
    int fd = open(in_folder("test.bin"), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    size_t i;

    for (i = 1; i < RECORD; i++)
        record[i] = (unsigned char)(i * i >> 4);
    cr_assert(fd >= 0, "%s", strerror(errno));
    for (i = 0; i < n; i++) {
        record[0] = (unsigned char)(i % CLASSES);
        cr_assert(!write_all(fd, record, RECORD), "%s", strerror(errno));
    }
    close(fd);
}

/* 50 more than there is room for; then as many as there is. */
Test(test_set, that_is_cut_short_is_told)
{
    prepare();
    write_test_set(10050);
    exits_with(EOS_DONE, ON_TEST " --log log");
    logged(0);
    cr_assert(tells_of_records(said.err), "standard error: %s", said.err);
    cr_assert(header_tells_of_records(), "nothing in the log's header");
    write_test_set(10000);
    exits_with(EOS_DONE, ON_TEST " --log log");
    logged(0);
    cr_assert(!tells_of_records(said.err) && !header_tells_of_records(),
              "told of a set that fits: %s", said.err);
    folder_remove();
}

/* Beside an accuracy a loss that is lost is nan. */
Test(test_set, has_no_infinite_loss)
{
    const struct block *b;
    size_t i;

    prepare();
    write_images(in_folder("images"));
    exits_with(EOS_DIVERGED, "run " DIVERGING " --test images --log log");
    b = logged(1);
    for (i = 0; i < b->rows; i++)
        cr_assert(!isinf(log_value(b, i, "gd_test_L")),
                  "row %zu: gd_test_L = %g", i, log_value(b, i, "gd_test_L"));
    cr_assert(!isfinite(log_value(b, b->rows - 1, "gd_L")) &&
                  isnan(log_value(b, b->rows - 1, "gd_test_L")),
              "the last row is that of a run that goes on");
    folder_remove();
}

/* --- Sentences --- */

#define A_TSV "sentence\tlabel\na b\t0\nc\t1\n"

/* The loss of no option too, for that is one of ten classes. */
Test(sentences, have_two_classes)
{
    prepare();
    refuses("run --model transformer", "bmse or logistic");
    refuses("train --model transformer --loss ce", "--loss: ce");
    refuses("deriv --model transformer --loss mse --out .", "--loss: mse");
    refuses("run --model transformer --loss bmse --samples 3", "--samples: 3");
    folder_remove();
}

Test(sentences, are_for_the_transformer)
{
    prepare();
    write_file("some.tsv", A_TSV, sizeof A_TSV - 1);
    refuses("run " TINY " --max-steps 1 --data some.tsv", "some.tsv: line 1");
    cr_assert(strstr(said.err, "transformer") != NULL, "%s", said.err);
    refuses("train " TINY " --steps 0 --test some.tsv", "some.tsv: line 1");
    folder_remove();
}

/* --- The summary --- */

/* At this rate the edge is at 2,000, out of reach. */
Test(summary, of_a_stop_in_the_approach_has_only_what_is_defined)
{
    size_t i, count = 0;

    prepare();
    how.signal = SIGINT;
    for (how.after = 1; how.after < 60; how.after *= 2) {
        eos("run " HUNDRED " --lr 1e-3 --log log");
        if (said.status != 128 + SIGKILL) /* before it listens */
            break;
    }
    cr_assert(said.status == 128 + SIGINT, "status %d: %s", said.status,
              said.err);
    log_read(&log_a, in_folder("log"));
    for (i = 0; i < log_a.comments; i++)
        if (!strncmp(log_a.comment[i], "summary ", 8)) {
            cr_assert(!strstr(log_a.comment[i], "nan"), "%s", log_a.comment[i]);
            count++;
        }
    cr_assert(count >= 2 && log_summary(&log_a, "steps") == 0 &&
                  !strcmp(log_comment(&log_a, "summary stop"), "signal"),
              "%zu lines", count);
    cr_assert(!strstr(said.out, "nan"), "%s", said.out);
    folder_remove();
}

/* A track from any point will do: it is only counted. */
static void windows_of(int rows, bool expected_there)
{
    static const char *const names[] = {
        "summary window_meanL_err_mean", "summary window_meanL_err_max",
        "summary window_pr_L_err_mean", "summary window_pr_L_err_max"};
    size_t i;
    int status = eos("run " TINY " --lr 0.02 --from-instability --init "
                     "drawn-gd.npy --stop-lambda2 inf --tol 0.3 --proj 0 "
                     "--steps %d --log log",
                     rows);

    cr_assert(status == EOS_DONE, "status %d: %s", status, said.err);
    log_read(&log_a, in_folder("log"));
    cr_assert(log_summary(&log_a, "steps") == rows, "rows");
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        bool there = log_comment(&log_a, names[i]) != NULL;

        cr_assert(there == expected_there, "%d rows: %s is %s", rows, names[i],
                  there ? "there" : "missing");
    }
    cr_assert((strstr(said.out, "summary window_") != NULL) == expected_there,
              "%d rows: %s", rows, said.out);
}

Test(summary, has_windows_from_100_rows_on)
{
    prepare();
    drawn_parameters();
    windows_of(6, false);
    windows_of(99, false);
    windows_of(100, true);
    folder_remove();
}

/* --- Solves that do not converge --- */

/* Among the lines on standard error, apart from memory and the last word of a
 * run that gives up, one. */
static void tells_once(const char *arguments)
{
    size_t all = lines(said.err), memory, gives_up, told;

    line_with(said.err, "MB of memory", &memory);
    line_with(said.err, "instability not reached", &gives_up);
    line_with(said.err, "residual is above", &told);
    cr_assert(all == memory + gives_up + 1 && told == 1,
              "eos %s: not one line: %s", arguments, said.err);
}

/* Products in float32 leave a residual of about 1e-8. */
static void does_not_converge(const char *arguments, int status)
{
    exits_with(status, arguments);
    tells_once(arguments);
    log_read(&log_a, in_folder("log"));
    cr_assert(log_summary(&log_a, "unconverged") >= 1, "eos %s: %.0f",
              arguments, log_summary(&log_a, "unconverged"));
}

Test(unconverged, solves_are_told_once_and_counted)
{
    prepare();
    does_not_converge("run " TINY " --lr 0.3 --stop-lambda2 inf --steps 3 "
                      "--tol 1e-13 --log log",
                      EOS_DONE);
    does_not_converge("run " TINY " --lr 0.01 --max-steps 1 --tol 1e-13 "
                      "--log log",
                      EOS_UNREACHED);
    does_not_converge("run " TINY " --lr 0.01 --max-steps 1 --eig power "
                      "--tol 1e-12 --log log",
                      EOS_UNREACHED);
    folder_remove();
}

Test(unconverged, solves_of_training_are_told_once)
{
    size_t told;

    prepare();
    exits_with(EOS_DONE, "train " TINY " --steps 3 --sharp 1 --tol 1e-13 "
                         "--checkpoint c --every 1");
    tells_once("train");
    exits_with(EOS_DONE, "train " TINY " --steps 5 --sharp 1 --tol 1e-13 "
                         "--checkpoint c --resume");
    line_with(said.err, "residual is above", &told);
    cr_assert(told == 0, "once more after a resume: %s", said.err);
    folder_remove();
}

Test(unconverged, solves_are_none_as_a_rule)
{
    size_t count;

    prepare();
    exits_with(EOS_DONE, "run " SHORT " --tol 1e-3 --steps 3 --log log");
    log_read(&log_a, in_folder("log"));
    cr_assert(log_summary(&log_a, "unconverged") == 0, "%.0f",
              log_summary(&log_a, "unconverged"));
    line_with(said.err, "converge", &count);
    cr_assert(count == 0, "%s", said.err);
    folder_remove();
}

Test(unconverged, derivatives_are_a_failure)
{
    prepare();
    exits_with(EOS_DONE, "deriv " TINY " --deriv f32 --out .");
    exits_with(EOS_FAILED, "deriv " TINY " --deriv f32 --tol 1e-12 --out .");
    last_words("deriv --tol 1e-12", "");
    folder_remove();
}

/* --- Eigenvalues that are equal, or opposite --- */

/* Where only the output biases are not zero, and all images are alike. */
static void prepare_copies(void)
{
    prepare();
    write_vector("zeros.npy", P_MLP, 0, 0, 0);
    write_vector("bias100.npy", P_MLP, 0, 10, 100);
}

/* S, S2 .. SK of a log's only row; resid2 .. residK stand beside them. */
static void eigenvalues(const char *init, const char *options, size_t k,
                        double *value)
{
    const struct block *b;
    char name[32];
    size_t i;
    int status = eos("train " HUNDRED " --steps 0 --init %s%s --neigs %zu "
                     "--log log",
                     init, options, k);

    cr_assert(status == EOS_DONE, "status %d: %s", status, said.err);
    b = logged(0);
    value[0] = log_value(b, 0, "S");
    for (i = 1; i < k; i++) {
        snprintf(name, sizeof name, "S%zu", i + 1);
        value[i] = log_value(b, 0, name);
    }
}

/* For K = k, 2k .. 8; each of the eight has a residual of its own. */
static void copies_of_two(size_t k, const char *options, double tol)
{
    double value[8], resid;
    char what[80];
    size_t i;

    prepare_copies();
    for (; k <= 8; k *= 2) {
        eigenvalues("zeros.npy", options, k, value);
        for (i = 0; i < k; i++) {
            snprintf(what, sizeof what, "--neigs %zu%s, S%zu", k, options,
                     i + 1);
            near(what, value[i], 2, 1e-6);
        }
    }
    for (i = 2; i <= 8; i++) {
        snprintf(what, sizeof what, "resid%zu", i);
        resid = log_value(&log_a.block[0], 0, what);
        cr_assert(resid >= 0 && resid <= tol, "%s = %g", what, resid);
    }
    folder_remove();
}

/* L is quadratic in the ten output biases there: ten times 2. */
Test(copies, of_an_eigenvalue_are_all_found)
{
    copies_of_two(2, "", 1e-3);
}

Test(copies, of_an_eigenvalue_are_all_found_in_float64)
{
    copies_of_two(8, " --deriv f64 --tol 1e-6", 1e-6);
}

/* lambda_max = -lambda_min = |grad L by the output biases| / 2, 200 times: a
 * hidden unit's bias and its output weights, for each unit. */
Test(copies, of_an_eigenvalue_with_an_opposite_one)
{
    double value[4], S;
    char what[16];
    size_t i;

    prepare_copies();
    exits_with(EOS_DONE, "deriv " HUNDRED " --init bias100.npy --out .");
    S = said_value("S");
    near("deriv's S", S, said_value("grad") / 2, 1e-4);
    eigenvalues("bias100.npy", "", 4, value);
    for (i = 0; i < 4; i++) {
        snprintf(what, sizeof what, "S%zu", i + 1);
        near(what, value[i], S, 1e-4);
        near(what, value[i], value[0], 1e-4);
    }
    folder_remove();
}

/* Power iteration does not tell the two apart without a shift. */
Test(power, has_the_top_where_the_bottom_is_its_opposite)
{
    double S, found;

    prepare_copies();
    eigenvalues("bias100.npy", "", 1, &S);
    eigenvalues("bias100.npy", " --eig power", 1, &found);
    near("S by power iteration", found, S, 1e-3);
    near("S by power iteration", found, 315.91, 1e-3);
    cr_assert(log_value(&log_a.block[0], 0, "resid") <= 1e-3, "resid %g",
              log_value(&log_a.block[0], 0, "resid"));
    folder_remove();
}

/* --- Points where there is nothing to find --- */

/* The first of the built-in images is of class 4. */
#define SATURATED "--model cnn --loss ce --samples 1 --threads 1"

static void write_saturated(void)
{
    char header[] = DICT("<f8", "False", "(30634,)");

    memset(vector, 0, sizeof vector);
    vector[P_CNN - CLASSES + 4] = 1000;
    write_npy("flat.npy", 1, header, P_CNN, vector);
}

/* One image whose class has all the probability: L, its gradient and H are
 * exactly zero. */
Test(flat, point_has_sharpness_and_residual_0)
{
    static const char *const names[] = {"L", "S", "resid", "S2", "S3"};
    size_t i;

    prepare();
    write_saturated();
    exits_with(EOS_DONE, "train " SATURATED " --steps 0 --neigs 3 "
                         "--init flat.npy --log log");
    for (i = 0; i < sizeof names / sizeof *names; i++)
        cr_assert(log_value(logged(0), 0, names[i]) == 0, "%s = %g", names[i],
                  log_value(&log_a.block[0], 0, names[i]));
    folder_remove();
}

/* No step is small enough where the projection divides by zero. */
static void blames_the_point(const char *arguments)
{
    int status = eos("%s", arguments);

    cr_assert(status != EOS_DONE, "eos %s: status 0", arguments);
    last_words(arguments, "0");
    cr_assert(!strstr(said.err, "smaller --lr"), "eos %s: %s", arguments,
              said.err);
    cr_assert(strstr(said.err, "beta") || strstr(said.err, "S is 0") ||
                  strstr(said.err, "S = 0"),
              "eos %s: neither beta nor S: %s", arguments, said.err);
}

/* S = 0; then S = 2 over 2/eta with beta = 0. */
Test(flat, point_is_no_start_of_a_track)
{
    prepare();
    write_saturated();
    write_vector("zeros.npy", P_TINY, 0, 0, 0);
    blames_the_point("run --from-instability " SATURATED
                     " --steps 3 --init flat.npy");
    blames_the_point("run --from-instability " TINY
                     " --steps 3 --lr 1.5 --init zeros.npy");
    folder_remove();
}

/* --- Derivatives that are not finite --- */

static void derivatives_diverge(const char *arguments, bool f64_helps)
{
    size_t count;

    exits_with(EOS_DIVERGED, arguments);
    line_with(said.err, "eos: ", &count);
    cr_assert(count == 1, "eos %s: %zu lines: %s", arguments, count, said.err);
    cr_assert((strstr(said.err, "--deriv f64") != NULL) == f64_helps,
              "eos %s: %s", arguments, said.err);
}

/* With weights of 1e11 float32 overflows and float64 does not; with 1e300 it
 * does as well. */
Test(derivatives, that_are_not_finite_are_no_success)
{
    prepare();
    write_vector("tiny.npy", P_TINY, 1e11, 0, 0);
    write_vector("worse.npy", P_TINY, 1e300, 0, 0);
    write_vector("mlp.npy", P_MLP, 1e11, 0, 0);
    derivatives_diverge("deriv " TINY " --init tiny.npy --out .", true);
    derivatives_diverge("deriv " HUNDRED " --init mlp.npy --out .", true);
    derivatives_diverge("deriv " TINY " --init worse.npy --out .", false);
    derivatives_diverge("deriv " TINY " --deriv f64 --init worse.npy --out .",
                        false);
    folder_remove();
}

/* --- A terminal --- */

enum { SCREEN = 1 << 16 };

/* What a terminal of that many columns receives; 0 is one that does not know
 * its width. */
static void on_terminal(unsigned short columns, const char *arguments,
                        char *screen)
{
    struct winsize size = {.ws_row = 24, .ws_col = columns};
    int keeper = posix_openpt(O_RDWR | O_NOCTTY), terminal, status;
    const char *path = program();
    char line[512];
    size_t n = 0;
    ssize_t got;
    pid_t child;

    cr_assert(keeper >= 0 && !grantpt(keeper) && !unlockpt(keeper), "%s",
              strerror(errno));
    terminal = open(ptsname(keeper), O_RDWR | O_NOCTTY);
    cr_assert(terminal >= 0 && !ioctl(terminal, TIOCSWINSZ, &size), "%s",
              strerror(errno));
    snprintf(line, sizeof line, "exec \"$0\" %s 2>err", arguments);
    child = fork();
    if (child == 0) {
        if (chdir(folder) || dup2(terminal, STDOUT_FILENO) < 0)
            _exit(126);
        close(keeper);
        unsetenv("COLUMNS");
        unsetenv("EOS_KERNEL");
        alarm(100);
        execl("/bin/sh", "sh", "-c", line, path, (char *)NULL);
        _exit(127);
    }
    cr_assert(child > 0, "fork");
    close(terminal);
    while (n < SCREEN - 1 && (got = read(keeper, screen + n, 1)) > 0)
        n += screen[n] != '\r'; /* before each newline, by the terminal */
    screen[n] = 0;
    close(keeper);
    cr_assert(waitpid(child, &status, 0) == child && WIFEXITED(status) &&
                  WEXITSTATUS(status) == 0,
              "eos %s on a terminal: status %#x", arguments, (unsigned)status);
}

/* A row of a table, or its head, on a terminal: some columns of what stands
 * in a pipe, as many as fit, from the left. */
static void row_fits(const char *shown, size_t len, const char *full,
                     size_t full_len, size_t columns)
{
    cr_assert(len <= columns, "%zu wide on %zu columns: %.*s", len, columns,
              (int)len, shown);
    cr_assert(len <= full_len && !strncmp(shown, full, len),
              "'%.*s' is not the left of '%.*s'", (int)len, shown,
              (int)full_len, full);
    cr_assert(len == full_len || (len > 0 && shown[len - 1] != ' ' &&
                                  full[len] == ' ' && full_len > columns),
              "cut within a column or without need: '%.*s'", (int)len, shown);
}

static void screen_fits(const char *shown, const char *full, size_t columns)
{
    size_t len, full_len, cut = 0;

    while (*shown && *full) {
        len = strcspn(shown, "\n");
        full_len = strcspn(full, "\n");
        if (!strncmp(full, "    ", 4)) {
            row_fits(shown, len, full, full_len, columns);
            cut += len < full_len;
        } else {
            cr_assert(len == full_len && !strncmp(shown, full, len),
                      "'%.*s' in place of '%.*s'", (int)len, shown,
                      (int)full_len, full);
        }
        shown += len + (shown[len] == '\n');
        full += full_len + (full[full_len] == '\n');
    }
    cr_assert(!*shown && !*full, "more or less lines: '%s', '%s'", shown, full);
    cr_assert(columns >= 99 || cut > 3, "%zu lines are cut", cut);
}

/* Rows of the track are 99 wide, those of the approach 75. */
#define TABLES \
    "run " TINY " --lr 0.3 --stop-lambda2 inf --tol 1e-2 --steps 4 --log log"

Test(terminal, that_is_narrow_has_fewer_columns)
{
    static char screen[SCREEN];
    static const unsigned short columns[] = {80, 98, 40};
    size_t i, wide = 0, len;
    const char *line;

    prepare();
    exits_with(EOS_DONE, TABLES);
    log_read(&log_b, in_folder("log"));
    for (line = said.out; *line; line += len + (line[len] == '\n')) {
        len = strcspn(line, "\n");
        wide += len == 99;
    }
    cr_assert(wide == 5, "%zu lines of 99 in a pipe: %s", wide, said.out);
    for (i = 0; i < sizeof columns / sizeof *columns; i++) {
        on_terminal(columns[i], TABLES, screen);
        screen_fits(screen, said.out, columns[i]);
        log_read(&log_a, in_folder("log"));
        same_rows(&log_b, &log_a, "the log on a terminal");
    }
    folder_remove();
}

Test(terminal, that_is_wide_or_unknown_has_all_columns)
{
    static char screen[SCREEN];
    static const unsigned short columns[] = {99, 200, 0};
    size_t i;

    prepare();
    exits_with(EOS_DONE, TABLES);
    for (i = 0; i < sizeof columns / sizeof *columns; i++) {
        on_terminal(columns[i], TABLES, screen);
        cr_assert(!strcmp(screen, said.out), "%u columns: %s", columns[i],
                  screen);
    }
    folder_remove();
}
