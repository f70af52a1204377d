/*
 * The program from outside: it is started with arguments, and what it says
 * and writes is read.  EOS_BIN names it; without, ./eos or ../eos.
 */
#include "common.h"
#include "logs.h"
#include "small.h"
#include "program.h"

static size_t widest_line(const char *text)
{
    size_t width = 0, len;

    for (; *text; text += len + (text[len] == '\n')) {
        len = strcspn(text, "\n");
        width = len > width ? len : width;
    }
    return width;
}

static void no_file_is_left(const char *ending)
{
    DIR *all = opendir(folder);
    struct dirent *file;

    while ((file = readdir(all))) {
        size_t len = strlen(file->d_name), end = strlen(ending);

        cr_assert(len < end || strcmp(file->d_name + len - end, ending),
                  "%s is left", file->d_name);
    }
    closedir(all);
}

/* --- Help and version --- */

static const char *const command_names[] = {
    "run", "train", "deriv", "toy", "synth",
};
enum { COMMAND_NAMES = sizeof command_names / sizeof *command_names };

/* Section 7 of the specification: which command has which option. */
static const struct {
    const char *option, *commands;
} table_of_options[] = {
    {"--model", "run train deriv"},
    {"--loss", "run train deriv"},
    {"--data", "run train deriv"},
    {"--test", "run train"},
    {"--samples", "run train deriv"},
    {"--lr", "run train toy"},
    {"--seed", "run train deriv"},
    {"--steps", "run train toy"},
    {"--max-steps", "run"},
    {"--init", "run train deriv"},
    {"--from-instability", "run"},
    {"--generalized", "run"},
    {"--stop-lambda2", "run"},
    {"--kick", "run"},
    {"--unstable", "run toy"},
    {"--band", "run"},
    {"--central", "run"},
    {"--checkpoint", "run train"},
    {"--every", "run train"},
    {"--resume", "run train"},
    {"--fresh", "run train"},
    {"--proj", "run"},
    {"--tol", "run train deriv"},
    {"--eig", "run train deriv"},
    {"--deriv", "run train deriv"},
    {"--stats", "run"},
    {"--neigs", "run train"},
    {"--sharp", "train"},
    {"--threads", "run train deriv"},
    {"--log", "run train toy"},
    {"--save", "run train"},
    {"--direction", "deriv"},
    {"--out", "deriv"},
    {"--alpha", "toy"},
    {"--beta", "toy"},
    {"--x0", "toy"},
    {"--y0", "toy"},
};
enum { TABLE = sizeof table_of_options / sizeof *table_of_options };

static void help_fits(const char *arguments)
{
    exits_with(EOS_DONE, arguments);
    cr_assert(!*said.err, "eos %s: it complains: %s", arguments, said.err);
    cr_assert(lines(said.out) >= 2 && lines(said.out) <= 40,
              "eos %s: %zu lines", arguments, lines(said.out));
    cr_assert(widest_line(said.out) <= 80, "eos %s: %zu columns", arguments,
              widest_line(said.out));
    cr_assert(strstr(said.out, "Exit status: 0 ") && strstr(said.out, "143"),
              "eos %s: no exit statuses", arguments);
    cr_assert(said.out[said.out_size - 1] == '\n', "eos %s: no newline",
              arguments);
}

Test(help, lists_the_commands)
{
    size_t i;

    prepare();
    help_fits("--help");
    for (i = 0; i < COMMAND_NAMES; i++)
        cr_assert(strstr(said.out, command_names[i]), "no %s",
                  command_names[i]);
    cr_assert(strstr(said.out, "EOS_KERNEL") && strstr(said.out, "--resume"),
              "%s", said.out);
    folder_remove();
}

Test(help, of_a_command_lists_its_options)
{
    char line[32], option[32];
    size_t i, j;

    prepare();
    for (i = 0; i < COMMAND_NAMES; i++) {
        snprintf(line, sizeof line, "%s --help", command_names[i]);
        help_fits(line);
        for (j = 0; j < TABLE; j++) {
            bool has = strstr(table_of_options[j].commands, command_names[i]);

            snprintf(option, sizeof option, " %s ", table_of_options[j].option);
            cr_assert(has == !!strstr(said.out, option), "eos %s: %s %s", line,
                      has ? "no" : "has", option);
        }
    }
    folder_remove();
}

Test(help, of_version_is_one_line)
{
    prepare();
    exits_with(EOS_DONE, "--version");
    cr_assert(lines(said.out) == 1 && !strncmp(said.out, "eos ", 4), "'%s'",
              said.out);
    folder_remove();
}

/* --- What is refused --- */

static const struct {
    const char *arguments, *names;
} bad_words[] = {
    {"walk", "walk"},
    {"run 5", "5"},
    {"run --lr", "--lr"},
    {"run --foo", "--foo"},
    {"run --foo 3", "--foo"},
    {"run -x", "-x"},
    {"-v", "-v"},
    {"run --generalized=1", "--generalized"},
    {"run --sharp 3", "--sharp"},
    {"run --alpha 1", "--alpha"},
    {"run --out x", "--out"},
    {"train --kick 1", "--kick"},
    {"train --max-steps 9", "--max-steps"},
    {"deriv --steps 5", "--steps"},
    {"toy --samples 5", "--samples"},
    {"toy --sharp 5", "--sharp"},
    {"synth --seed 5", "--seed"},
    {"synth", "synth"},
    {"synth 0", "0"},
    {"synth -1", "-1"},
    {"synth 1.5", "1.5"},
    {"synth x", "x"},
    {"synth 1 2", "2"},
    {"synth ", "synth"},
};

static const struct {
    const char *command, *option, *values; /* a blank between values */
} bad_values[] = {
    {"run", "--model", "rnn MLP cnn, mlp|cnn "},
    {"run", "--loss", "hinge m ms bmse2 MSE "},
    {"run", "--samples",
     "0 1000001 -1 1.5 x 0x10 99999999999999999999 +5 1e3 "},
    {"run", "--lr", "0 -1 inf -inf nan x 0.1x 1e400 1e-400 1,5 "},
    {"train", "--lr", "0 -0.1 nan inf"},
    {"toy", "--lr", "0 -0.1 nan inf"},
    {"run", "--seed", "-1 1.5 x 18446744073709551616 "},
    {"run", "--steps", "-1 1000001 1.5 x 99999999999999999999 "},
    {"train", "--steps", "-1 1000001"},
    {"toy", "--steps", "-1 1000001"},
    {"run", "--max-steps", "-1 x 1.5 99999999999999999999 "},
    {"run", "--stop-lambda2", "0 -1 -inf nan x "},
    {"run", "--kick", "-0.1 inf nan x "},
    {"run", "--proj", "-1 101 1.5 x "},
    {"run", "--tol", "0 1 -1 2 nan inf x "},
    {"deriv", "--tol", "0 1"},
    {"run", "--eig", "qr power2 "},
    {"run", "--deriv", "f16 64 "},
    {"run", "--stats", "all "},
    {"run", "--neigs", "0 9 -1 x "},
    {"run", "--every", "0 -1 x "},
    {"run", "--band", "0 -1 2.1 nan inf x "},
    {"run", "--unstable", "0 7 -1 x "},
    {"train", "--neigs", "0 9"},
    {"train", "--sharp", "0 -1 x "},
    {"run", "--threads", "0 257 -1 x "},
    {"deriv", "--threads", "0 257"},
    {"toy", "--alpha", "0 -1 inf nan x "},
    {"toy", "--beta", "0 -1 inf nan x "},
    {"toy", "--x0", "inf -inf nan x "},
    {"toy", "--y0", "inf -inf nan x "},
};

Test(refusal, of_words_names_them)
{
    size_t i;

    prepare();
    for (i = 0; i < sizeof bad_words / sizeof *bad_words; i++)
        refuses(bad_words[i].arguments, bad_words[i].names);
    folder_remove();
}

/* --samples or --seed: it takes neither. */
Test(refusal, of_an_ambiguous_abbreviation)
{
    prepare();
    refuses("deriv " TINY " --out . --s 4", "--s");
    folder_remove();
}

Test(refusal, of_letters_in_a_bunch_names_them)
{
    prepare();
    refuses("run -xy", "-xy");
    folder_remove();
}

/* The last value of a list that ends with a blank is the empty one. */
Test(refusal, of_a_value_names_the_option)
{
    char line[128];
    size_t i, len;

    prepare();
    for (i = 0; i < sizeof bad_values / sizeof *bad_values; i++) {
        const char *value = bad_values[i].values;

        for (;; value += len + 1) {
            len = strcspn(value, " ");
            snprintf(line, sizeof line, "%s %s %.*s", bad_values[i].command,
                     bad_values[i].option, (int)len, value);
            refuses(line, bad_values[i].option);
            if (!value[len])
                break;
        }
    }
    folder_remove();
}

/* Every option that takes a number, in every command that has it. */
Test(refusal, of_what_is_not_quite_a_number)
{
    static const char *const values[] = {
        "1;", "1\t", "1e", "1e999", "-1e999", "1_000", "0x1p", "1.5.5", "--1",
    };
    char line[128], name[32];
    size_t i, j, k, refused = 0;

    prepare();
    for (i = 0; i < OPTIONS; i++) {
        const struct option_spec *o = &options[i];

        snprintf(name, sizeof name, "--%s", o->name);
        for (j = 0; j < COMMANDS; j++)
            for (k = 0; k < sizeof values / sizeof *values; k++) {
                if (!(o->commands & commands[j].bit) ||
                    (o->kind != COUNT && o->kind != SEED && o->kind != NUMBER))
                    continue;
                snprintf(line, sizeof line, "%s %s=%s", commands[j].name, name,
                         values[k]);
                refuses(line, name);
                refused++;
            }
    }
    cr_assert(refused > 250, "%zu only", refused);
    folder_remove();
}

Test(refusal, of_two_options_together)
{
    prepare();
    refuses("run --loss bmse --samples 3", "--samples");
    refuses("run --loss logistic --samples 1", "--samples");
    refuses("train --samples 7 --loss bmse", "--samples");
    refuses("run --from-instability", "--from-instability");
    refuses("deriv " TINY, "--out");
    folder_remove();
}

/* A folder that only root may change, a file that only root may read. */
Test(file, that_is_not_allowed_is_named)
{
    static const char *const refused[][2] = {
        {"run " TINY " --log locked/log", "locked/log: cannot create"},
        {"train " TINY " --log locked/log", "locked/log: cannot create"},
        {"toy --log locked/log", "locked/log: cannot create"},
        {"run " TINY " --save locked/x", "locked/x-gd.npy: cannot create"},
        {"train " TINY " --save locked/x", "locked/x-gd.npy: cannot create"},
        {"run " TINY " --checkpoint locked/ck", "locked/ck: cannot create"},
        {"run " TINY " --log secret", "secret: cannot see what it is"},
        {"run " TINY " --data secret", "secret: cannot open"},
        {"run " TINY " --test secret", "secret: cannot open"},
        {"run " TINY " --init secret", "secret: cannot open"},
        {"run " TINY " --checkpoint ck --resume", "ck: cannot see what it is"},
    };
    static const char *const of_deriv[][2] = {
        {"deriv " TINY " --out locked", "locked: cannot write"},
        {"deriv " TINY " --out locked/new", "locked/new: cannot create"},
        {"deriv " TINY " --out . --direction secret", "secret: cannot open"},
    };
    size_t i;

    prepare();
    write_file("secret", "x", 1);
    write_file("ck", "x", 1);
    cr_assert(!chmod(in_folder("secret"), 0) && !chmod(in_folder("ck"), 0) &&
                  !mkdir(in_folder("locked"), 0555) && !chmod(folder, 0777),
              "%s", strerror(errno));
    how.nobody = true;
    for (i = 0; i < sizeof refused / sizeof *refused; i++)
        refuses(refused[i][0], refused[i][1]);
    for (i = 0; i < sizeof of_deriv / sizeof *of_deriv; i++) {
        exits_with(EOS_USAGE, of_deriv[i][0]); /* it says what it computes */
        last_words(of_deriv[i][0], of_deriv[i][1]);
    }
    how.nobody = false;
    cr_assert(rmdir(in_folder("locked")) == 0, "locked: files are left");
    no_file_is_left(".tmp");
    no_file_is_left(".npy");
    folder_remove();
}

#define TEXT_OF(number) TEXT_OF2(number)
#define TEXT_OF2(number) #number
/* Each end of a range is taken: the next complaint is about a file. */
Test(range, holds_both_its_ends)
{
    static const struct {
        const char *command, *option, *values;
    } ends[] = {
        {"run", "--samples", "1 " TEXT_OF(SAMPLES)},
        {"run", "--lr", "1e-300 1e300 1.2e-308"},
        {"run", "--seed", "0 18446744073709551615"},
        {"run", "--steps", "0 1000000"},
        {"run", "--max-steps", "0 1000000"},
        {"run", "--stop-lambda2", "1e-300 1e300 inf"},
        {"run", "--kick", "0 1e300"},
        {"run", "--proj", "0 100"},
        {"run", "--tol", "1e-300 0.999999"},
        {"run", "--neigs", "1 8"},
        {"run", "--threads", "1 256"},
        {"run", "--model", "mlp cnn"},
        {"run", "--loss", "mse ce bmse logistic"},
        {"run", "--eig", "power lobpcg"},
        {"run", "--deriv", "f32 f64"},
        {"run", "--stats", "basic full"},
        {"train", "--sharp", "1 1000000"},
        {"train", "--steps", "0 1000000"},
        {"train", "--neigs", "1 8"},
        {"deriv", "--out x --threads", "1 256"},
    };
    char line[128];
    size_t i, len;

    prepare();
    for (i = 0; i < sizeof ends / sizeof *ends; i++) {
        const char *value = ends[i].values;

        for (;; value += len + 1) {
            len = strcspn(value, " ");
            snprintf(line, sizeof line, "%s %s %.*s --data gone.bin",
                     ends[i].command, ends[i].option, (int)len, value);
            refuses(line, "gone.bin");
            if (!value[len])
                break;
        }
    }
    folder_remove();
}

Test(range, of_the_toy_holds_both_its_ends)
{
    /* clang-format off */
    static const char *const ends[] = {
        "--alpha 1e-300", "--alpha 1e300", "--beta 1e-300", "--beta 1e300",
        "--x0 -1e300", "--x0 0", "--x0 1e300", "--y0 -1e300", "--y0 1e300",
        "--lr 1e-300", "--lr 1e300", "--steps 0", "--steps 1000000",
    };
    /* clang-format on */
    char line[128];
    size_t i;

    prepare();
    for (i = 0; i < sizeof ends / sizeof *ends; i++) {
        snprintf(line, sizeof line, "toy %s --log gone/log", ends[i]);
        refuses(line, "gone/log");
    }
    folder_remove();
}

/* The most threads that may be asked for really run. */
Test(range, of_threads_is_no_promise_of_processors)
{
    prepare();
    exits_with(EOS_DONE, "deriv --model cnn --loss bmse --samples 2 "
                         "--threads 256 --out .");
    folder_remove();
}

/* --- Files that are refused --- */

static void write_records(const char *name, size_t n, int label, int pixel)
{
    static unsigned char records[8][RECORD];
    uint64_t rng = 1;
    size_t i, j;

    for (i = 0; i < n; i++) {
        records[i][0] = (unsigned char)label;
        for (j = 1; j < RECORD; j++)
            records[i][j] =
                (unsigned char)(pixel >= 0 ? (uint64_t)pixel : rng_next(&rng));
    }
    write_file(name, records, n * RECORD);
}

Test(file, that_is_missing_is_named)
{
    prepare();
    refuses("run " TINY " --data gone.bin", "gone.bin: ");
    refuses("run " TINY " --test gone.bin", "gone.bin: ");
    refuses("run " TINY " --init gone.npy", "gone.npy: ");
    refuses("train " TINY " --init gone.npy", "gone.npy: ");
    refuses("run " TINY " --log gone/log", "gone/log: ");
    refuses("run " TINY " --log .", ".: ");
    refuses("train " TINY " --log gone/log", "gone/log: ");
    refuses("toy --log gone/log", "gone/log: ");
    refuses("run " TINY " --save gone/x", "gone/x");
    refuses("train " TINY " --save gone/x", "gone/x");
    folder_remove();
}

Test(file, of_images_that_are_wrong_is_named)
{
    unsigned char byte = 3;

    prepare();
    write_file("empty.bin", "", 0);
    write_file("cut.bin", &byte, 1);
    write_records("label.bin", 2, 10, -1);
    write_records("flat.bin", 2, 1, 7);
    write_records("cats.bin", 4, CAT, -1);
    write_records("few.bin", 3, 1, -1);
    refuses("run --samples 2 --data empty.bin", "empty.bin: ");
    refuses("run --samples 2 --data cut.bin", "cut.bin: ");
    refuses("run --samples 2 --data label.bin", "label.bin: ");
    refuses("run --samples 2 --data flat.bin", "flat.bin: ");
    refuses("run --samples 4 --data few.bin", "few.bin: ");
    refuses("run --samples 4 --loss bmse --data cats.bin", "cats.bin: ");
    refuses("run --samples 2 --data few.bin --data cut.bin --samples 5",
            "cut.bin: ");
    refuses("run --samples 2 --data few.bin --test cut.bin", "cut.bin: ");
    refuses("run --samples 2 --data .", ".: ");
    folder_remove();
}

/* A .npy file with this header, of n numbers, the last as given. */
static void write_npy(const char *name, const char *header, size_t n,
                      double last)
{
    static unsigned char bytes[128 + 8 * 40000] = "\x93NUMPY\x01";
    size_t len = strlen(header);

    memset(bytes + 10, ' ', 118);
    memcpy(bytes + 10, header, len);
    bytes[127] = '\n';
    bytes[8] = 118;
    memset(bytes + 128, 0, 8 * n);
    if (n)
        memcpy(bytes + 128 + 8 * (n - 1), &last, sizeof last);
    write_file(name, bytes, 128 + 8 * n);
}

#define DICT(descr, order, shape) \
    "{'descr': '" descr "', 'fortran_order': " order ", 'shape': " shape ", }"

Test(file, of_parameters_that_is_wrong_is_named)
{
    static const struct {
        const char *name, *header;
        size_t n;
        double last;
    } wrong[] = {
        {"short.npy", DICT("<f8", "False", "(3,)"), 3, 0},
        {"cut.npy", DICT("<f8", "False", "(12193,)"), 12192, 0},
        {"long.npy", DICT("<f8", "False", "(12193,)"), 12194, 0},
        {"nan.npy", DICT("<f8", "False", "(12193,)"), 12193, (double)NAN},
        {"inf.npy", DICT("<f8", "False", "(12193,)"), 12193, INFINITY},
        {"big.npy", DICT(">f8", "False", "(12193,)"), 12193, 0},
        {"int.npy", DICT("<i8", "False", "(12193,)"), 12193, 0},
        {"two.npy", DICT("<f8", "False", "(1, 12193)"), 12193, 0},
        {"none.npy", DICT("<f8", "False", "()"), 1, 0},
    };
    char line[256];
    size_t i;

    prepare();
    use_network(EOS_CNN, EOS_BMSE, 2);
    cr_assert(net.params == 12193, "p = %zu", net.params);
    for (i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        write_npy(wrong[i].name, wrong[i].header, wrong[i].n, wrong[i].last);
        snprintf(line, sizeof line, "run " TINY " --init %s", wrong[i].name);
        refuses(line, wrong[i].name);
        snprintf(line, sizeof line, "deriv " TINY " --out x --direction %s",
                 wrong[i].name);
        exits_with(EOS_USAGE, line);
        last_words(line, wrong[i].name);
    }
    write_file("text.npy", "1 2 3\n", 6);
    refuses("run " TINY " --init text.npy", "text.npy: ");
    folder_remove();
}

Test(file, for_derivatives_that_cannot_be_made_is_named)
{
    prepare();
    write_file("file", "x", 1);
    exits_with(EOS_USAGE, "deriv " TINY " --out gone/x");
    last_words("deriv --out gone/x", "gone/x");
    exits_with(EOS_USAGE, "deriv " TINY " --out file");
    last_words("deriv --out file", "file");
    exits_with(EOS_USAGE, "deriv " TINY " --out . --direction gone.npy");
    last_words("deriv --direction gone.npy", "gone.npy: ");
    folder_remove();
}

/* --- The form of a log --- */

/* A number stands with 17 digits: printing it again gives the same. */
static void has_all_digits(const char *name, const char *line)
{
    char again[40];
    size_t len;

    for (; *line; line += len) {
        line += strspn(line, " ");
        len = strcspn(line, " ");
        if (len == strspn(line, "0123456789")) /* a count, or nothing */
            continue;
        snprintf(again, sizeof again, "%.16e", strtod(line, NULL));
        if (isnan(strtod(line, NULL)))
            strcpy(again, "nan");
        cr_assert(strlen(again) == len && !strncmp(line, again, len),
                  "%s: %.*s, expected %s", name, (int)len, line, again);
    }
}

static void rows_are_well_formed(const char *name, const struct block *b)
{
    size_t i;

    for (i = 0; i < b->rows; i++) {
        cr_assert(strlen(b->line[i]) == strlen(b->line[0]),
                  "%s: row %zu is %zu wide, the first %zu", name, i,
                  strlen(b->line[i]), strlen(b->line[0]));
        has_all_digits(name, b->line[i]);
    }
}

/* "# key: value" for everything that makes the numbers, before the rows. */
static void header_is_complete(const char *name, const struct log *log)
{
    /* clang-format off */
    static const char *const keys[] = {
        "eos", "command", "model", "loss", "data", "test", "samples", "lr",
        "seed", "steps", "max-steps", "init", "from-instability",
        "generalized", "stop-lambda2", "kick", "proj", "tol", "eig", "deriv",
        "stats", "neigs", "data checksum", "kernel", "threads",
    };
    /* clang-format on */
    size_t i;

    for (i = 0; i < sizeof keys / sizeof *keys; i++)
        cr_assert(log_comment(log, keys[i]), "%s: no '# %s: '", name, keys[i]);
    for (i = 0; strncmp(log->comment[i], "columns: ", 9); i++)
        cr_assert(strstr(log->comment[i], ": "), "%s: '# %s'", name,
                  log->comment[i]);
    cr_assert(!strncmp(log->comment[0], "eos: ", 5), "%s begins '%s'", name,
              log->comment[0]);
}

static void names_are(const struct block *b, const char *expected)
{
    char names[2048] = "";
    size_t i;

    for (i = 0; i < b->columns; i++) {
        strcat(names, i ? " " : "");
        strcat(names, b->name[i]);
    }
    cr_assert(!strcmp(names, expected), "columns %s\nexpected %s", names,
              expected);
}

/* clang-format off */
#define SCORES(p) \
    p "_L_err_mean", p "_L_err_max", p "_L_corr", \
    p "_S_err_mean", p "_S_err_max", p "_S_corr"
/* clang-format on */

/* The names of the summary of fewer than 100 rows, in order, as the last lines
 * of the log. */
static void summary_is_complete(const struct log *log, bool generalized)
{
    /* clang-format off */
    static const char *const names[] = {
        "steps", "stop", SCORES("pr"), SCORES("pgen"), "x_over_delta",
        "gd_dist", "gf_dist", "swings", "swings_predicted", "hvps_per_step",
        "resid_max", "unconverged",
    };
    /* clang-format on */
    size_t count = sizeof names / sizeof *names, i, at;
    const struct block *last = &log->block[log->blocks - 1];

    at = log->comments - 1 - count + (generalized ? 0 : 6);
    cr_assert(!strncmp(log->comment[log->comments - 1], "verdict: ", 9),
              "no verdict at the end");
    for (i = 0; i < count; i++) {
        char key[64], again[40];
        const char *found, *value;

        if (!generalized && !strncmp(names[i], "pgen", 4))
            continue;
        found = log->comment[at++];
        snprintf(key, sizeof key, "summary %s: ", names[i]);
        cr_assert(!strncmp(found, key, strlen(key)), "found '%s', expected %s",
                  found, key);
        cr_assert(!last->rows || found > last->line[last->rows - 1],
                  "%s comes before the last row", key);
        value = found + strlen(key);
        snprintf(again, sizeof again, "%.17g", strtod(value, NULL));
        if (isnan(strtod(value, NULL)))
            strcpy(again, "nan");
        cr_assert(i == 1 || !strcmp(value, again), "%s%s, expected %s", key,
                  value, again);
    }
}

/* What is on standard output: at most 100 columns, a table's rows as wide as
 * its head. */
static void output_is_for_people(void)
{
    const char *line = said.out;
    size_t width = 0, len;

    cr_assert(widest_line(said.out) <= 100, "%zu columns on standard output",
              widest_line(said.out));
    for (; *line; line += len + 1) {
        len = strcspn(line, "\n");
        if (!strncmp(line, "    step ", 9))
            width = len;
        else if (!strncmp(line, "    ", 4))
            cr_assert(len == width, "a row of %zu under a head of %zu: %.*s",
                      len, width, (int)len, line);
    }
    cr_assert(width > 0, "no table: %s", said.out);
}

Test(output, is_folded_at_blanks)
{
    static const char word[] = " twelve-parts";
    char line[400] = "verdict:", whole[400];
    size_t i;

    for (i = 0; i < 20; i++)
        strcat(line, word);
    strcpy(whole, line);
    fold(line);
    cr_assert(lines(line) == 2 && widest_line(line) == 99, "%zu wide: %s",
              widest_line(line), line);
    for (i = 0; line[i]; i++)
        cr_assert(line[i] == (line[i] == '\n' ? '\n' : whole[i]) &&
                      (line[i] != '\n' || whole[i] == ' '),
                  "place %zu of %s", i, line);
    prepare();
    exits_with(EOS_UNREACHED,
               "run --samples 2 --seed 18446744073709551615 --threads 1 "
               "--lr 0.000012345678 --loss logistic --max-steps 1 --tol 0.9");
    cr_assert(widest_line(said.out) <= 100, "%s", said.out);
    folder_remove();
}

static void no_minus_nan(void)
{
    static char text[LOG_TEXT];

    text[read_file(in_folder("log"), text, LOG_TEXT - 1)] = 0;
    cr_assert(!strstr(text, "-nan"), "-nan in the log");
    cr_assert(!strstr(said.out, "-nan"), "-nan on standard output");
    cr_assert(!strstr(said.err, "-nan"), "-nan on standard error");
}

/* log_a is read; its form is that of every log. */
static void log_is_well_formed(size_t blocks)
{
    size_t i;

    log_read(&log_a, in_folder("log"));
    cr_assert(log_a.blocks == blocks, "%zu blocks", log_a.blocks);
    header_is_complete("log", &log_a);
    for (i = 0; i < blocks; i++)
        rows_are_well_formed("log", &log_a.block[i]);
    no_minus_nan();
    no_file_is_left(".tmp");
}

#define CHECK_NAMES "step time L acc S resid hvps"
#define TRACK_NAMES                                                       \
    "step gd_L gd_S gd_x gd_Staylor gd_Savg gd_dist pr_L pr_S pr_x "      \
    "pr_Staylor pr_Savg pr_dist gf_L gf_S gf_dist pg_L pg_S pg_S2 alpha " \
    "beta gamma delta2 eps newton_x gradnorm gradperp hvps gd_resid "     \
    "pr_resid gf_resid pg_resid th_L th_S mean_L"

Test(log, of_a_run_has_the_names_of_the_specification)
{
    prepare();
    exits_with(EOS_DONE, "run " SHORT " --steps 6 --log log");
    log_is_well_formed(2);
    names_are(&log_a.block[0], CHECK_NAMES);
    names_are(&log_a.block[1], TRACK_NAMES);
    cr_assert(log_a.block[1].rows == 6, "%zu rows", log_a.block[1].rows);
    summary_is_complete(&log_a, false);
    output_is_for_people();
    cr_assert(strstr(said.err, "MB"), "nothing of memory: %s", said.err);
    cr_assert(strstr(said.err, "left"), "nothing of time: %s", said.err);
    folder_remove();
}

Test(log, of_a_run_with_everything_has_more_names)
{
    prepare();
    exits_with(EOS_DONE, "synth 30");
    write_file("test.bin", said.out, said.out_size);
    exits_with(EOS_DONE, "run " SHORT " --steps 2 --log log --generalized "
                         "--test test.bin --neigs 3 --kick 0.01");
    log_is_well_formed(2);
    names_are(&log_a.block[0],
              CHECK_NAMES " test_L test_acc S2 S3 resid2 resid3");
    names_are(&log_a.block[1],
              TRACK_NAMES " pgen_L pgen_S pgen_x pgen_Staylor pgen_Savg "
                          "pgen_dist gd_test_L gd_test_acc gd_S2 gd_S3 "
                          "gd_resid2 gd_resid3");
    summary_is_complete(&log_a, true);
    output_is_for_people();
    cr_assert(log_value(&log_a.block[0], 0, "S") >
                      log_value(&log_a.block[0], 0, "S2") &&
                  log_value(&log_a.block[0], 0, "S2") >
                      log_value(&log_a.block[0], 0, "S3"),
              "eigenvalues out of order");
    folder_remove();
}

Test(log, of_training_has_its_own_order_of_names)
{
    const struct block *b = &log_a.block[0];

    prepare();
    exits_with(EOS_DONE, "synth 30");
    write_file("test.bin", said.out, said.out_size);
    exits_with(EOS_DONE,
               "train " SHORT_TRAINING " --steps 12 --sharp 5 --log log "
               "--test test.bin --neigs 3 --save saved");
    log_is_well_formed(1);
    names_are(b, CHECK_NAMES " S2 S3 test_L test_acc resid2 resid3");
    cr_assert(b->rows >= 3 && b->value[0][0] == 0 && b->value[1][0] == 5 &&
                  b->value[2][0] == 10,
              "%zu rows", b->rows);
    output_is_for_people();
    cr_assert(strstr(said.out, "S eta         S2    resid"),
              "with --neigs people see the second eigenvalue, too: %s",
              said.out);
    use_network(EOS_CNN, EOS_BMSE, 2);
    cr_assert(npy_read(in_folder("saved-gd.npy"), net.params, theta) ==
                  EOS_DONE,
              "%s", failure);
    folder_remove();
}

Test(log, of_a_track_alone_has_one_block)
{
    prepare();
    use_network(EOS_CNN, EOS_BMSE, 2);
    eos_init(0, theta);
    npy_write(in_folder("start.npy"), net.params, theta);
    exits_with(EOS_DONE, "run " SHORT " --init start.npy --from-instability "
                         "--lr 0.02 --steps 2 --neigs 3 --log log");
    log_is_well_formed(1);
    folder_remove();
}

Test(log, of_a_run_that_diverges_says_nan)
{
    prepare();
    exits_with(EOS_DIVERGED, "run " DIVERGING " --log log");
    last_words("run", "diverged");
    log_is_well_formed(2);
    summary_is_complete(&log_a, false);
    cr_assert(!strcmp(log_comment(&log_a, "summary stop"), "diverged"),
              "stop: %s", log_comment(&log_a, "summary stop"));
    cr_assert(!strcmp(log_comment(&log_a, "verdict"),
                      "diverged, under 100 rows and without a swing"),
              "verdict: %s", log_comment(&log_a, "verdict"));
    cr_assert(strstr(log_a.block[1].line[log_a.block[1].rows - 1], "nan"),
              "no nan in the last row");
    folder_remove();
}

/* It is 1.4 from the default parameters, undefined where the edge is at the
 * start, for alpha is negative there. */
Test(output, warns_once_of_a_large_eps)
{
    const char *at;

    prepare();
    exits_with(EOS_DONE, "run " TINY " --samples 8 --lr 0.115 --tol 1e-2 "
                         "--stop-lambda2 inf --steps 2");
    at = strstr(said.err, "eps = 1.4 at the start");
    cr_assert(at && !strstr(at + 1, "eps ="), "not once: %s", said.err);
    exits_with(EOS_DONE, "run " TINY " --samples 8 --lr 0.3 --tol 1e-2 "
                         "--stop-lambda2 inf --steps 2");
    cr_assert(!strstr(said.err, "eps ="), "of no number: %s", said.err);
    folder_remove();
}

/* Numbers grow to 1e300 here: the table for people must hold them. */
Test(output, of_a_run_that_diverges_keeps_its_columns)
{
    prepare();
    exits_with(EOS_DIVERGED, "run " DIVERGING);
    output_is_for_people();
    folder_remove();
}

Test(output, is_narrow_whatever_the_name_of_a_file)
{
    char line[512], name[200];

    prepare();
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = 0;
    exits_with(EOS_DONE, "synth 30");
    write_file(name, said.out, said.out_size);
    snprintf(line, sizeof line, "run " TINY " --data %s --max-steps 0", name);
    exits_with(EOS_UNREACHED, line);
    cr_assert(widest_line(said.out) <= 100, "%zu columns on standard output",
              widest_line(said.out));
    folder_remove();
}

/* One line beyond those of memory and time, status 4. */
Test(log, of_a_huge_rate_says_that_it_diverged)
{
    static const char *const commands_with_lr[] = {
        "run " TINY " --lr 1e308",
        "train " TINY " --lr 1e308",
        "run " TINY " --lr 1e60 --steps 9",
        "toy --lr 1e308",
    };
    size_t i;

    prepare();
    for (i = 0; i < 4; i++) {
        exits_with(EOS_DIVERGED, commands_with_lr[i]);
        last_words(commands_with_lr[i], "diverged");
        cr_assert(lines(said.err) == (i < 3 ? 2 : 1), "%s: %s",
                  commands_with_lr[i], said.err);
    }
    folder_remove();
}

Test(log, of_a_run_that_gives_up_says_why)
{
    prepare();
    exits_with(EOS_UNREACHED, "run " TINY " --lr 0.001 --max-steps 3 "
                              "--log log");
    last_words("run", "--lr");
    log_is_well_formed(1);
    cr_assert(!strcmp(log_comment(&log_a, "summary steps"), "0") &&
                  log_comment(&log_a, "summary unconverged") &&
                  !log_comment(&log_a, "summary gd_dist"),
              "a summary of more than there is");
    cr_assert(!strcmp(log_comment(&log_a, "summary stop"), "max-steps"),
              "stop: %s", log_comment(&log_a, "summary stop"));
    cr_assert(log_summary(&log_a, "steps") == 0, "steps");
    folder_remove();
}

Test(log, of_the_toy_is_one_block)
{
    prepare();
    exits_with(EOS_DONE, "toy --steps 30 --alpha 0.5 --beta 4 --lr 0.1 "
                         "--x0 -0.2 --y0 0.3 --log log");
    log_read(&log_a, in_folder("log"));
    rows_are_well_formed("log", &log_a.block[0]);
    names_are(&log_a.block[0], "step gd_x gd_y gd_z rec_x rec_y ode_X ode_Y "
                               "invariant");
    cr_assert(log_a.block[0].rows == 31, "%zu rows", log_a.block[0].rows);
    output_is_for_people();
    folder_remove();
}

/* Options are in the header with the value that is in force. */
Test(log, header_tells_what_is_in_force)
{
    static const struct {
        const char *key, *value;
    } expected[] = {
        /* clang-format off */
        {"model", "cnn"},      {"loss", "bmse"},      {"samples", "2"},
        {"seed", "7"},         {"steps", "9"},        {"max-steps", "1"},
        {"kick", "0.5"},       {"proj", "2"},         {"tol", "0.25"},
        {"eig", "power"},      {"deriv", "f64"},      {"stats", "basic"},
        {"neigs", "2"},        {"stop-lambda2", "inf"}, {"lr", "0.015625"},
        {"generalized", "1"},  {"from-instability", "0"},
        /* clang-format on */
    };
    size_t i;

    prepare();
    exits_with(EOS_UNREACHED,
               "run " TINY " --seed 7 --steps 9 --max-steps 1 --kick 0.5 "
               "--proj 2 --tol 0.25 --eig power --deriv f64 --neigs 2 "
               "--stop-lambda2 inf --lr 0.015625 --generalized --log log");
    log_is_well_formed(1);
    for (i = 0; i < sizeof expected / sizeof *expected; i++) {
        const char *found = log_comment(&log_a, expected[i].key);

        cr_assert(found && !strcmp(found, expected[i].value),
                  "# %s: %s, expected %s", expected[i].key, found,
                  expected[i].value);
    }
    folder_remove();
}

/* --- Same numbers --- */

/* Runs twice, the second time otherwise; every row is the same. */
static void same_log_rows(const char *one, const char *other)
{
    prepare();
    exits_with(EOS_DONE, one);
    log_read(&log_a, in_folder("log"));
    exits_with(EOS_DONE, other);
    log_read(&log_b, in_folder("log"));
    cr_assert(log_a.block[0].rows > 1, "%zu rows", log_a.block[0].rows);
    same_rows(&log_a, &log_b, other);
    folder_remove();
}

/* Plain C may round otherwise; "c" is the fused one where there is one. */
static void same_rows_by_every_kernel(const char *arguments)
{
    size_t i;

    prepare();
    exits_with(EOS_DONE, arguments);
    log_read(&log_a, in_folder("log"));
    for (i = 0; i < KERNELS; i++) {
        how.kernel = kernels[i].name;
        if (!isa_runs(kernels[i].isa) ||
            (i > 0 && kernels[i].isa == ISA_PLAIN) ||
            !strcmp(how.kernel, log_comment(&log_a, "kernel")))
            continue;
        exits_with(EOS_DONE, arguments);
        log_read(&log_b, in_folder("log"));
        cr_assert(!strcmp(log_comment(&log_b, "kernel"), how.kernel),
                  "# kernel: %s, expected %s", log_comment(&log_b, "kernel"),
                  how.kernel);
        same_rows(&log_a, &log_b, how.kernel);
    }
    how.kernel = NULL;
    folder_remove();
}

Test(same, rows_of_the_cnn_by_every_kernel)
{
    same_rows_by_every_kernel("run " SHORT " --steps 2 --log log");
}

Test(same, rows_of_the_mlp_by_every_kernel)
{
    same_rows_by_every_kernel("train --samples 50 --steps 1 --sharp 1 "
                              "--tol 1e-2 --threads 1 --log log");
}

Test(same, rows_with_and_without_the_word_run)
{
    same_log_rows("run " SHORT " --steps 1 --log log",
                  SHORT " --steps 1 --log log");
}

Test(same, rows_with_more_threads)
{
    same_log_rows("train --samples 100 --steps 2 --sharp 1 --tol 1e-2 "
                  "--threads 1 --log log",
                  "train --samples 100 --steps 2 --sharp 1 --tol 1e-2 "
                  "--threads 3 --log log");
}

/* The built-in set, written out and read back, is the built-in set. */
Test(same, rows_from_a_file_of_the_built_in_images)
{
    prepare();
    exits_with(EOS_DONE, "train --model cnn --samples 12 --steps 2 --sharp 1 "
                         "--threads 1 --log log");
    log_read(&log_a, in_folder("log"));
    exits_with(EOS_DONE, "synth 12");
    cr_assert(said.out_size == 12 * RECORD, "%zu bytes", said.out_size);
    write_file("a.bin", said.out, 5 * RECORD);
    write_file("b.bin", said.out + 5 * RECORD, 7 * RECORD);
    exits_with(EOS_DONE, "train --model cnn --samples 12 --steps 2 --sharp 1 "
                         "--threads 1 --log log --data a.bin --data b.bin");
    log_read(&log_b, in_folder("log"));
    same_rows(&log_a, &log_b, "data");
    cr_assert(!strcmp(log_comment(&log_a, "data checksum"),
                      log_comment(&log_b, "data checksum")),
              "checksums");
    folder_remove();
}

#define CATS_AND_DOGS                                                         \
    "--model cnn --loss logistic --samples 8 --steps 2 --sharp 1 --tol 1e-3 " \
    "--threads 1 --log log"
Test(same, rows_from_a_file_of_cats_and_dogs)
{
    prepare();
    exits_with(EOS_DONE, "train " CATS_AND_DOGS);
    log_read(&log_a, in_folder("log"));
    exits_with(EOS_DONE, "synth 200");
    write_file("a.bin", said.out, said.out_size);
    exits_with(EOS_DONE, "train " CATS_AND_DOGS " --data a.bin");
    log_read(&log_b, in_folder("log"));
    same_rows(&log_a, &log_b, "data");
    folder_remove();
}

Test(same, parameters_from_a_file)
{
    prepare();
    use_network(EOS_CNN, EOS_BMSE, 2);
    eos_init(3, theta);
    npy_write(in_folder("start.npy"), net.params, theta);
    exits_with(EOS_DONE,
               "train " SHORT_TRAINING " --seed 3 --steps 2 --log log");
    log_read(&log_a, in_folder("log"));
    exits_with(EOS_DONE, "train " SHORT_TRAINING " --init start.npy --steps 2 "
                         "--log log");
    log_read(&log_b, in_folder("log"));
    same_rows(&log_a, &log_b, "init");
    folder_remove();
}

Test(kernel, that_is_not_there_is_an_error)
{
    static const char *const names[] = {"avx512", "avx2", "neon", "sse", "C"};
    size_t i, j;

    prepare();
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        bool here = false;

        for (j = 0; j < KERNELS; j++)
            here = here || (!strcmp(kernels[j].name, names[i]) &&
                            isa_runs(kernels[j].isa));
        how.kernel = names[i];
        if (!here)
            refuses("run " TINY, "EOS_KERNEL");
    }
    how.kernel = NULL;
    folder_remove();
}

/* --- Failures while running --- */

/* Status 1; other lines tell of memory and time. */
static void fails_in_one_line(const char *arguments, const char *name)
{
    size_t errors = 0;
    char *line;

    exits_with(EOS_FAILED, arguments);
    last_words(arguments, name);
    for (line = strtok(said.err, "\n"); line; line = strtok(NULL, "\n"))
        errors += strncmp(line, "eos: ", 5) == 0 && strstr(line, "cannot");
    cr_assert(errors == 1, "eos %s: %zu errors", arguments, errors);
}

Test(full_disk, of_a_log_is_an_error)
{
    prepare();
    fails_in_one_line("run " SHORT " --log /dev/full", "/dev/full: ");
    fails_in_one_line("train " SHORT_TRAINING " --log /dev/full",
                      "/dev/full: ");
    fails_in_one_line("toy --log /dev/full", "/dev/full: ");
    folder_remove();
}

/* The disk is full somewhere: the log has the lines that fit, whole. */
static void log_ends_with_a_line(const char *arguments, size_t limit)
{
    static char whole[LOG_TEXT], cut[LOG_TEXT];
    size_t size, n;

    exits_with(EOS_DONE, arguments);
    size = read_file(in_folder("log"), whole, LOG_TEXT);
    for (; limit < size; limit += limit / 3 + 1) {
        how.file_size = limit;
        fails_in_one_line(arguments, "log: ");
        n = read_file(in_folder("log"), cut, LOG_TEXT);
        cr_assert(n <= limit && limit < n + 3000 && !memcmp(cut, whole, n) &&
                      (n == 0 || cut[n - 1] == '\n'),
                  "%s: %zu bytes in a log of at most %zu", arguments, n, limit);
    }
    how.file_size = 0;
}

Test(full_disk, anywhere_in_a_log_leaves_whole_lines)
{
    prepare();
    log_ends_with_a_line("toy --steps 400 --log log", 300);
    log_ends_with_a_line("train " SHORT_TRAINING " --steps 9 --sharp 1 "
                         "--log log",
                         300);
    log_ends_with_a_line("run " SHORT " --steps 3 --log log", 500);
    no_file_is_left(".tmp");
    folder_remove();
}

/* The disk takes the rows but not the summary. */
Test(full_disk, at_the_summary_of_a_log_is_an_error)
{
    prepare();
    exits_with(EOS_DONE, "run " SHORT " --steps 2 --log log");
    log_read(&log_a, in_folder("log"));
    how.file_size = log_a.size - 20;
    fails_in_one_line("run " SHORT " --steps 2 --log log", "log: ");
    how.file_size = 0;
    folder_remove();
}

Test(full_disk, of_saved_vectors_is_an_error_and_leaves_nothing)
{
    prepare();
    how.file_size = 50000; /* a vector is 97,672 bytes */
    fails_in_one_line("run " SHORT " --steps 1 --save saved", "saved-");
    no_file_is_left(".tmp");
    no_file_is_left(".npy");
    fails_in_one_line("deriv " TINY " --out .", "grad.npy");
    no_file_is_left(".tmp");
    no_file_is_left(".npy");
    how.file_size = 0;
    folder_remove();
}

/* Standard output leads nowhere: no command ends as if all were well. */
static void every_command_fails(enum output output)
{
    prepare();
    how.output = output;
    fails_in_one_line("run " SHORT " --steps 1", "standard output: ");
    fails_in_one_line("train " SHORT_TRAINING " --steps 1",
                      "standard output: ");
    fails_in_one_line("deriv " TINY " --out .", "standard output: ");
    fails_in_one_line("toy", "standard output: ");
    fails_in_one_line("synth 3", "standard output: ");
    fails_in_one_line("--help", "standard output: ");
    fails_in_one_line("run --help", "standard output: ");
    fails_in_one_line("--version", "standard output: ");
    how.output = ORDINARY;
    folder_remove();
}

Test(full_disk, under_standard_output_is_an_error)
{
    every_command_fails(FULL_DISK);
}

Test(closed_pipe, is_an_error_and_no_signal)
{
    every_command_fails(CLOSED_PIPE);
}

/* The log goes to another program, which leaves after its first bytes. */
static void reader_leaves(const char *arguments)
{
    const char *pipe_name = in_folder("pipe");
    pid_t reader;
    int status;

    cr_assert(mkfifo(pipe_name, 0666) == 0, "%s", strerror(errno));
    reader = fork();
    if (reader == 0) {
        char bytes[100];
        int fd = open(pipe_name, O_RDONLY);

        _exit(read_all(fd, bytes, sizeof bytes) != sizeof bytes);
    }
    fails_in_one_line(arguments, "pipe: ");
    cr_assert(waitpid(reader, &status, 0) == reader && !status,
              "the reader's status: %d", status);
    unlink(pipe_name);
}

Test(closed_pipe, under_a_log_is_an_error)
{
    prepare();
    reader_leaves("run " SHORT " --log pipe");
    reader_leaves("train " SHORT_TRAINING " --sharp 1 --log pipe");
    reader_leaves("toy --steps 100000 --log pipe");
    folder_remove();
}

Test(closed_output, is_an_error)
{
    every_command_fails(CLOSED);
}

/* The log must not get the number of the closed standard output. */
Test(closed_output, does_not_end_up_in_the_log)
{
    prepare();
    exits_with(EOS_DONE, "toy --steps 9 --log log");
    log_read(&log_a, in_folder("log"));
    how.output = CLOSED;
    eos("toy --steps 9 --log log");
    log_read(&log_b, in_folder("log"));
    log_a.block[0].rows = log_b.block[0].rows; /* it may end at once */
    same_rows(&log_a, &log_b, "closed output");
    how.output = ORDINARY;
    folder_remove();
}

/* --- Derivatives --- */

/* The value of a line "name value" on standard output, with 17 digits. */
static double printed(const char *name)
{
    const char *line = said.out;
    size_t len = strlen(name);
    char again[40];

    while (strncmp(line, name, len) || line[len] != ' ') {
        line = strchr(line, '\n');
        cr_assert(line++ && *line, "no line '%s' in: %s", name, said.out);
    }
    snprintf(again, sizeof again, "%.17g\n", strtod(line + len, NULL));
    cr_assert(!strncmp(line + len + 1, again, strlen(again)),
              "%s: %.30s, expected %s", name, line + len + 1, again);
    return strtod(line + len, NULL);
}

/* Format 1.0, <f8, C order, the shape, data at a multiple of 64. */
static void read_written_npy(const char *name, size_t n, double *to)
{
    static unsigned char bytes[1 << 20];
    size_t size = read_file(in_folder(name), bytes, sizeof bytes), header;
    char shape[64], text[256] = "";

    header = 10 + bytes[8] + 256u * bytes[9];
    cr_assert(!memcmp(bytes, "\x93NUMPY\x01\0", 8), "%s: not format 1.0", name);
    cr_assert(header % 64 == 0 && bytes[header - 1] == '\n' && header <= 256,
              "%s: a header of %zu bytes", name, header);
    cr_assert(size == header + 8 * n, "%s: %zu bytes, expected %zu", name, size,
              header + 8 * n);
    memcpy(text, bytes + 10, header - 10);
    snprintf(shape, sizeof shape, "'shape': (%zu,)", n);
    cr_assert(strstr(text, "'descr': '<f8'") && strstr(text, shape) &&
                  strstr(text, "'fortran_order': False"),
              "%s: %s", name, text);
    memcpy(to, bytes + header,
           8 * n); /* the tests' machines: small end first */
}

static double grad[P_MAX], hvp[P_MAX], d3[P_MAX], d4[P_MAX], u[P_MAX];

static void read_derivatives(void)
{
    use_network(EOS_CNN, EOS_BMSE, 2);
    read_written_npy("grad.npy", net.params, grad);
    read_written_npy("hvp.npy", net.params, hvp);
    read_written_npy("d3.npy", net.params, d3);
    read_written_npy("d4.npy", net.params, d4);
    read_written_npy("u.npy", net.params, u);
    near("grad", printed("grad"), plain_norm(net.params, grad), 1e-14);
    near("hvp", printed("hvp"), plain_norm(net.params, hvp), 1e-14);
    near("d3", printed("d3"), plain_norm(net.params, d3), 1e-14);
    near("d4", printed("d4"), plain_norm(net.params, d4), 1e-14);
    near("|u|", plain_norm(net.params, u), 1, 1e-14);
}

#define DERIV                                                    \
    "deriv --model cnn --loss logistic --samples 8 --threads 1 " \
    "--deriv f64"

Test(deriv, along_u_agrees_with_itself)
{
    double su, alpha, beta;
    size_t i;

    prepare();
    exits_with(EOS_DONE, DERIV " --out .");
    cr_assert(lines(said.out) == 10, "%zu lines: %s", lines(said.out),
              said.out);
    read_derivatives();
    near("S", printed("S"), printed("hvp"), 1e-9);
    cr_assert(printed("resid") <= 1e-10, "resid %g", printed("resid"));
    cr_assert(printed("lambda2") < printed("S"), "lambda2");
    su = plain_dot(net.params, d3, u);
    for (i = 0; i < net.params; i++)
        d3[i] -= su * u[i];
    alpha = -plain_dot(net.params, grad, d3);
    beta = plain_dot(net.params, d3, d3);
    near("alpha", printed("alpha"), alpha, 1e-10);
    near("beta", printed("beta"), beta, 1e-10);
    near("L", printed("L"), 0.69, 0.1);
    no_file_is_left(".tmp");
    folder_remove();
}

/* hvp is the first, d3 the second derivative of the gradient along V. */
Test(deriv, writes_the_derivatives_of_the_gradient)
{
    static double ahead[P_MAX], behind[P_MAX];
    const double h = 1e-3;
    struct eos_config c = eos_defaults();
    double value[2];
    size_t i;

    prepare();
    exits_with(EOS_DONE, DERIV " --out .");
    read_derivatives();
    c.deriv = EOS_F64;
    c.tol = 1e-10;
    c.model = EOS_CNN;
    c.loss = EOS_LOGISTIC;
    c.samples = 8;
    c.threads = 1;
    cr_assert(eos_start(&c) == EOS_DONE, "%s", failure);
    eos_init(0, theta);
    eos_sharpness(theta, 2, value, ahead);
    near("S", printed("S"), value[0], 1e-9);
    near("lambda2", printed("lambda2"), value[1], 1e-9);
    for (i = 0; i < net.params; i++)
        theta[i] += h * u[i];
    eos_gradient(theta, ahead);
    for (i = 0; i < net.params; i++)
        theta[i] -= 2 * h * u[i];
    eos_gradient(theta, behind);
    for (i = 0; i < net.params; i++) {
        double slope = (ahead[i] - behind[i]) / (2 * h);

        behind[i] = (ahead[i] - 2 * grad[i] + behind[i]) / (h * h);
        ahead[i] = slope;
    }
    near("hvp", relative_error(net.params, hvp, ahead) + 1, 1, 1e-4);
    near("d3", relative_error(net.params, d3, behind) + 1, 1, 1e-4);
    folder_remove();
}

/* V is used as it is: twice V gives 2, 4 and 8 times as much. */
Test(deriv, along_a_direction_does_not_normalise_it)
{
    double once[3], S;
    size_t i;

    prepare();
    exits_with(EOS_DONE, DERIV " --out .");
    read_derivatives();
    S = printed("S");
    once[0] = printed("hvp");
    once[1] = printed("d3");
    once[2] = printed("d4");
    for (i = 0; i < net.params; i++)
        u[i] *= 2;
    npy_write(in_folder("v.npy"), net.params, u);
    exits_with(EOS_DONE, DERIV " --direction v.npy --out .");
    near("hvp", printed("hvp"), 2 * once[0], 1e-12);
    near("d3", printed("d3"), 4 * once[1], 1e-12);
    near("d4", printed("d4"), 8 * once[2], 1e-12);
    near("S", printed("S"), S, 1e-9);
    folder_remove();
}

Test(deriv, makes_its_folder_and_takes_parameters)
{
    static double first[P_MAX];
    double error;

    prepare();
    exits_with(EOS_DONE, DERIV " --seed 5 --out .");
    read_derivatives();
    memcpy(first, grad, sizeof first);
    eos_init(5, theta);
    npy_write(in_folder("start.npy"), net.params, theta);
    exits_with(EOS_DONE, DERIV " --init start.npy --out made");
    use_network(EOS_CNN, EOS_BMSE, 2);
    read_written_npy("made/grad.npy", net.params, grad);
    error = relative_error(net.params, grad, first);
    cr_assert(error == 0, "the gradient is off by %g", error);
    unlink(in_folder("made/grad.npy"));
    unlink(in_folder("made/hvp.npy"));
    unlink(in_folder("made/d3.npy"));
    unlink(in_folder("made/d4.npy"));
    unlink(in_folder("made/u.npy"));
    cr_assert(rmdir(in_folder("made")) == 0, "more than five files");
    folder_remove();
}

/* Where the loss overflows: nan, never -nan, or an error of status 4. */
Test(deriv, of_a_loss_that_is_not_finite_is_not_minus_nan)
{
    size_t i;

    prepare();
    use_network(EOS_CNN, EOS_BMSE, 2);
    eos_init(0, theta);
    for (i = 0; i < net.params; i++)
        theta[i] *= 1e60;
    npy_write(in_folder("huge.npy"), net.params, theta);
    eos("deriv " TINY " --init huge.npy --out .");
    cr_assert(!strstr(said.out, "-nan"), "it prints -nan: %s", said.out);
    cr_assert(said.status == EOS_DIVERGED, "status %d, expected 4",
              said.status);
    folder_remove();
}

/* --- Saved vectors --- */

Test(save, writes_the_vectors_of_the_next_row)
{
    static double gd[P_MAX], pg[P_MAX], gf[P_MAX], v[P_MAX], d[P_MAX];
    const struct block *b = &log_a.block[1];
    size_t p, i;

    prepare();
    exits_with(EOS_DONE, "run " SHORT " --steps 3 --save saved");
    exits_with(EOS_DONE, "run " SHORT " --steps 4 --log log");
    log_read(&log_a, in_folder("log"));
    use_network(EOS_CNN, EOS_BMSE, 2);
    p = net.params;
    read_written_npy("saved-gd.npy", p, gd);
    read_written_npy("saved-pg.npy", p, pg);
    read_written_npy("saved-gf.npy", p, gf);
    read_written_npy("saved-v.npy", p, v);
    read_written_npy("saved-u.npy", p, u);
    read_written_npy("saved-instability.npy", p, d);
    for (i = 0; i < p; i++)
        d[i] = gd[i] - pg[i];
    near("gd_dist", plain_norm(p, d), log_value(b, 3, "gd_dist"), 1e-12);
    near("gd_x", plain_dot(p, u, d), log_value(b, 3, "gd_x"), 1e-10);
    near("pr_dist", plain_norm(p, v), log_value(b, 3, "pr_dist"), 1e-12);
    near("pr_x", plain_dot(p, u, v), log_value(b, 3, "pr_x"), 1e-10);
    for (i = 0; i < p; i++)
        d[i] = gf[i] - pg[i];
    near("gf_dist", plain_norm(p, d), log_value(b, 3, "gf_dist"), 1e-12);
    no_file_is_left(".tmp");
    folder_remove();
}

/* What was saved at instability starts the same track. */
Test(save, at_instability_starts_the_same_track)
{
    size_t i;

    prepare();
    exits_with(EOS_DONE, "run " SHORT " --steps 2 --save saved --log log");
    log_read(&log_a, in_folder("log"));
    exits_with(EOS_DONE, "run " SHORT " --steps 2 --from-instability "
                         "--init saved-instability.npy --log log");
    log_read(&log_b, in_folder("log"));
    cr_assert(log_b.blocks == 1 && log_b.block[0].rows == 2, "%zu blocks",
              log_b.blocks);
    for (i = 0; i < 2; i++) { /* eigen-solves start cold: only near */
        near("gd_L", log_value(&log_b.block[0], i, "gd_L"),
             log_value(&log_a.block[1], i, "gd_L"), 1e-12);
        near("pg_L", log_value(&log_b.block[0], i, "pg_L"),
             log_value(&log_a.block[1], i, "pg_L"), 1e-3);
        near("gd_S", log_value(&log_b.block[0], i, "gd_S"),
             log_value(&log_a.block[1], i, "gd_S"), 1e-3);
    }
    folder_remove();
}
