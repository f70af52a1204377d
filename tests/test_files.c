/*
 * No command destroys a file that it was not asked to: outputs that are also
 * inputs or other outputs, names that somebody else's files have, finished
 * work, two runs at once.  The program is started, and all that stands in its
 * folder is compared before and after.
 */
#include "outside.h"
#include "logs.h"
#include "small.h"
#include "program.h"

/* Two built-in images, an inexact sharpness, a step. */
#define FEW TINY " --tol 0.5 "
#define TRAIN "train " FEW "--steps 1 "
#define RUN "run " FEW "--lr 0.16 --max-steps 3 --steps 2 --stop-lambda2 inf "
#define RUN_FULL RUN "--stats full "
#define DERIV "deriv " FEW

/* --- What stands in the folder --- */

enum { FILE_MOST = 1 << 22 }; /* bytes of a file of these tests */

/* A line for each file, in order: its name, inode, mode (its kind too) and
 * size, and a hash of the bytes or the name that a link has in it. */
typedef char sight[1 << 13];

static uint64_t hash_of(const char *name)
{
    static unsigned char bytes[FILE_MOST];
    size_t n = read_file(in_folder(name), bytes, sizeof bytes), i;
    uint64_t hash = 14695981039346656037u; /* FNV-1a */

    for (i = 0; i < n; i++)
        hash = (hash ^ bytes[i]) * 1099511628211u;
    return hash;
}

static void look_at(const char *name, char *line, size_t room)
{
    const char *path = in_folder(name);
    struct stat info;
    size_t used;

    cr_assert(lstat(path, &info) == 0, "%s: %s", path, strerror(errno));
    used = (size_t)snprintf(line, room, "%s: inode %llu, mode %o", name,
                            (unsigned long long)info.st_ino,
                            (unsigned)info.st_mode);
    if (S_ISREG(info.st_mode))
        used += (size_t)snprintf(
            line + used, room - used, ", %lld bytes, hash %016llx",
            (long long)info.st_size, (unsigned long long)hash_of(name));
    if (S_ISLNK(info.st_mode)) {
        char to[256] = "";

        cr_assert(readlink(path, to, sizeof to - 1) > 0, "%s", path);
        used += (size_t)snprintf(line + used, room - used, " to %s", to);
    }
    snprintf(line + used, room - used, "\n");
}

/* What the programs say does not count: it goes to out, err, out1, err1. */
static bool is_said(const char *name)
{
    return !strncmp(name, "out", 3) || !strncmp(name, "err", 3);
}

static void look_into(const char *inner, sight seen)
{
    struct dirent **files;
    int n = scandir(in_folder(inner), &files, NULL, alphasort), i;

    cr_assert(n >= 0, "%s: %s", inner, strerror(errno));
    for (i = 0; i < n; i++) {
        const char *file = files[i]->d_name;
        char name[400];
        size_t used = strlen(seen);
        struct stat info;

        snprintf(name, sizeof name, "%s%s%s", inner, *inner ? "/" : "", file);
        if (!strcmp(file, ".") || !strcmp(file, "..") || is_said(name))
            continue;
        look_at(name, seen + used, sizeof(sight) - used);
        if (!lstat(in_folder(name), &info) && S_ISDIR(info.st_mode))
            look_into(name, seen);
    }
    cr_assert(strlen(seen) < sizeof(sight) - 1, "too many files to look at");
}

static sight before;

static void look(void)
{
    *before = 0;
    look_into("", before);
}

static void unchanged(const char *arguments)
{
    static sight after;

    *after = 0;
    look_into("", after);
    cr_assert(!strcmp(before, after), "eos %s: before\n%safterwards\n%s",
              arguments, before, after);
}

/* Exit status 2, one line that has both words, and nothing has changed. */
static void refuses_for(const char *arguments, const char *one, const char *two)
{
    look();
    refuses(arguments, one);
    last_words(arguments, two);
    unchanged(arguments);
}

/* --- Files to begin with --- */

static bool exists(const char *name)
{
    struct stat info;

    return lstat(in_folder(name), &info) == 0;
}

static void copy(const char *from, const char *to)
{
    static unsigned char bytes[FILE_MOST];
    size_t n = read_file(in_folder(from), bytes, sizeof bytes);

    write_file(to, bytes, n);
}

static void make_folder(const char *name)
{
    cr_assert(mkdir(in_folder(name), 0777) == 0, "%s: %s", name,
              strerror(errno));
}

static void make_pipe(const char *name)
{
    cr_assert(mkfifo(in_folder(name), 0666) == 0, "%s: %s", name,
              strerror(errno));
}

static void make_link(const char *to, const char *name)
{
    cr_assert(symlink(to, in_folder(name)) == 0, "%s: %s", name,
              strerror(errno));
}

/* A second /dev/null, where the machine and the file system allow it. */
static void make_device(const char *name)
{
    char command[600];

    snprintf(command, sizeof command, "mknod %s c 1 3 2>/dev/null",
             in_folder(name));
    if (system(command)) {
        folder_remove();
        cr_skip_test("this user may not make devices here");
    }
}

static void write_diary(const char *name)
{
    write_file(name, "my diary\n", 9);
}

/* Images under many names, vectors under those that --save and --out give. */
static void lay_out(void)
{
    static const char *const images[] = {"d.bin", "te.bin", "w.slow", "c.tmp"};
    static const char *const vectors[] = {"in.npy", "o/grad.npy", "o/u.npy"};
    size_t i;

    prepare();
    make_folder("sub");
    make_folder("o");
    for (i = 0; i < sizeof images / sizeof *images; i++)
        copy("images", images[i]);
    exits_with(EOS_DONE, TRAIN "--save s");
    for (i = 0; i < sizeof vectors / sizeof *vectors; i++)
        copy("s-gd.npy", vectors[i]);
    cr_assert(link(in_folder("d.bin"), in_folder("hard.bin")) == 0, "%s",
              strerror(errno));
    make_link("d.bin", "soft.bin");
    make_link("soft.bin", "chain.bin");
}

/* --- Outputs that are inputs, or each other --- */

struct clash {
    const char *arguments, *one, *two; /* the options */
};

static void clash_all(const struct clash *clashes, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        lay_out();
        refuses_for(clashes[i].arguments, clashes[i].one, clashes[i].two);
        folder_remove();
    }
}

#define CLASH(table) clash_all(table, sizeof(table) / sizeof *(table))

Test(clash, of_a_log_with_an_input)
{
    static const struct clash table[] = {
        {TRAIN "--data d.bin --log d.bin", "--log", "--data"},
        {RUN "--data d.bin --log d.bin", "--log", "--data"},
        {TRAIN "--data te.bin --data d.bin --log d.bin", "--log", "--data"},
        {TRAIN "--log ./d.bin --data d.bin", "--log", "--data"},
        {TRAIN "--data d.bin --log sub/../d.bin", "--log", "--data"},
        {TRAIN "--test te.bin --log te.bin", "--log", "--test"},
        {RUN "--test te.bin --log te.bin", "--log", "--test"},
        {TRAIN "--init in.npy --log in.npy", "--log", "--init"},
        {RUN "--init in.npy --log in.npy", "--log", "--init"},
    };

    CLASH(table);
}

Test(clash, of_a_log_with_an_input_by_links)
{
    static const struct clash table[] = {
        {TRAIN "--data d.bin --log hard.bin", "--log", "--data"},
        {TRAIN "--data hard.bin --log d.bin", "--log", "--data"},
        {TRAIN "--data d.bin --log soft.bin", "--log", "--data"},
        {TRAIN "--data soft.bin --log d.bin", "--log", "--data"},
        {TRAIN "--data d.bin --log chain.bin", "--log", "--data"},
        {TRAIN "--data chain.bin --log hard.bin", "--log", "--data"},
    };

    CLASH(table);
}

Test(clash, of_a_log_with_an_input_by_other_paths)
{
    char line[512];

    lay_out();
    snprintf(line, sizeof line, TRAIN "--data d.bin --log ../%s/d.bin",
             strrchr(folder, '/') + 1);
    refuses_for(line, "--log", "--data");
    snprintf(line, sizeof line, TRAIN "--data d.bin --log %s/d.bin", folder);
    refuses_for(line, "--log", "--data");
    folder_remove();
}

Test(clash, of_a_slow_log_with_an_input)
{
    static const struct clash table[] = {
        {RUN_FULL "--data w.slow --log w", "--log", "--data"},
        {RUN_FULL "--test w.slow --log w", "--log", "--test"},
    };

    CLASH(table);
}

Test(clash, of_a_checkpoint_with_an_input)
{
    static const struct clash table[] = {
        {TRAIN "--data d.bin --checkpoint d.bin", "--checkpoint", "--data"},
        {RUN "--data d.bin --checkpoint d.bin", "--checkpoint", "--data"},
        {TRAIN "--data d.bin --checkpoint hard.bin", "--checkpoint", "--data"},
        {TRAIN "--data d.bin --checkpoint soft.bin", "--checkpoint", "--data"},
        {TRAIN "--test te.bin --checkpoint te.bin", "--checkpoint", "--test"},
        {TRAIN "--init in.npy --checkpoint in.npy", "--checkpoint", "--init"},
        {TRAIN "--data c.tmp --checkpoint c", "--checkpoint", "--data"},
        {TRAIN "--data d.bin --checkpoint d.bin --resume", "--checkpoint",
         "--data"},
    };

    CLASH(table);
}

Test(clash, of_vectors_with_an_input)
{
    static const struct clash table[] = {
        {TRAIN "--init s-gd.npy --save s", "--save", "--init"},
        {RUN "--init s-gd.npy --save s", "--save", "--init"},
        {RUN "--init s-gd.npy --save ./s", "--save", "--init"},
        {DERIV "--init o/grad.npy --out o", "--out", "--init"},
        {DERIV "--init o/grad.npy --out sub/../o", "--out", "--init"},
        {DERIV "--direction o/u.npy --out o", "--out", "--direction"},
    };

    CLASH(table);
}

/* What does not exist yet has no inode: its folder has, and it has a name. */
Test(clash, of_a_log_with_a_checkpoint)
{
    static const struct clash table[] = {
        {TRAIN "--log x --checkpoint x", "--log", "--checkpoint"},
        {RUN "--log x --checkpoint x", "--log", "--checkpoint"},
        {TRAIN "--log x --checkpoint ./x", "--log", "--checkpoint"},
        {TRAIN "--log sub/../x --checkpoint x", "--log", "--checkpoint"},
        {TRAIN "--log sub/x --checkpoint sub/../sub/x", "--log",
         "--checkpoint"},
        {TRAIN "--log x --checkpoint x --resume", "--log", "--checkpoint"},
        {TRAIN "--log k.tmp --checkpoint k", "--log", "--checkpoint"},
        {RUN_FULL "--log x --checkpoint x.slow", "--log", "--checkpoint"},
    };

    CLASH(table);
}

Test(clash, of_vectors_with_another_output)
{
    static const struct clash table[] = {
        {TRAIN "--save n --log n-gd.npy", "--save", "--log"},
        {RUN "--save n --log n-gd.npy", "--save", "--log"},
        {RUN "--save n --checkpoint n-instability.npy", "--save",
         "--checkpoint"},
        {RUN "--save sub/n --checkpoint sub/../sub/n-pg.npy", "--save",
         "--checkpoint"},
    };

    CLASH(table);
}

Test(clash, of_a_log_with_a_checkpoint_by_its_path)
{
    char line[512];

    lay_out();
    snprintf(line, sizeof line, TRAIN "--log x --checkpoint %s/x", folder);
    refuses_for(line, "--log", "--checkpoint");
    folder_remove();
}

/* Two inputs may be one file, and names that only look alike are no clash. */
Test(clash, is_not_what_is_allowed)
{
    static const char *const allowed[] = {
        TRAIN "--data d.bin --test d.bin",
        TRAIN "--data d.bin --data hard.bin --test soft.bin",
        TRAIN "--log x --checkpoint sub/x --save x",
        TRAIN "--data w.slow --log w",
        TRAIN "--init s-gd.npy --save s2",
        TRAIN "--init s-gd.npy --log s --checkpoint s.npy",
        RUN "--data d.bin --test te.bin --init in.npy --log x "
            "--checkpoint y --save z",
        DERIV "--init o/grad.npy --direction o/u.npy --out sub",
        DERIV "--init in.npy --out .",
        "toy --steps 3 --log x",
    };
    uint64_t images;
    size_t i;

    for (i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        lay_out();
        images = hash_of("d.bin");
        exits_with(EOS_DONE, allowed[i]);
        cr_assert(images == hash_of("d.bin") && images == hash_of("te.bin") &&
                      images == hash_of("w.slow"),
                  "eos %s: the images are lost", allowed[i]);
        folder_remove();
    }
}

/* --- Standard output, pipes and devices --- */

Test(devices, take_a_log)
{
    prepare();
    exits_with(EOS_DONE, TRAIN "--log /dev/null");
    exits_with(EOS_DONE, TRAIN "--log /dev/null --checkpoint c --every 1");
    exits_with(EOS_DONE, TRAIN "--log /dev/null --checkpoint c --resume");
    exits_with(EOS_DONE, "toy --steps 3 --log /dev/null");
    folder_remove();
}

/* What came through the pipe, from the log's first line to its last block. */
static void came_through(const char *arguments)
{
    static char text[1 << 16];
    int fd = open(in_folder("pipe"), O_RDONLY | O_NONBLOCK);
    ssize_t n;

    cr_assert(fd >= 0, "pipe: %s", strerror(errno));
    exits_with(EOS_DONE, arguments);
    n = read_all(fd, text, sizeof text - 1);
    cr_assert(n > 0 && !close(fd), "eos %s: nothing came", arguments);
    text[n] = 0;
    cr_assert(strstr(text, "# eos: ") && strstr(text, "\n# columns:"),
              "eos %s: %zd bytes: %s", arguments, n, text);
}

Test(pipes, take_a_log)
{
    prepare();
    make_pipe("pipe");
    came_through(TRAIN "--log pipe --checkpoint c --every 1");
    came_through(TRAIN "--log pipe --checkpoint c --resume");
    came_through("toy --steps 3 --log pipe");
    how.output = PIPE;
    came_through(TRAIN "--log /dev/stdout");
    came_through(TRAIN "--log /dev/fd/1");
    came_through("toy --steps 3 --log /dev/stdout");
    folder_remove();
}

static const char *const output_names[] = {"/dev/stdout", "/dev/fd/1", "out",
                                           "./out", "link"};
enum { OUTPUT_NAMES = sizeof output_names / sizeof *output_names };

/* One descriptor would write over what the other has written. */
Test(standard_output, in_a_file_is_no_log)
{
    static const char *const commands[] = {TRAIN, RUN, "toy --steps 3 "};
    char line[256];
    size_t i, j;

    prepare();
    make_link("out", "link");
    for (i = 0; i < 3; i++)
        for (j = 0; j < OUTPUT_NAMES; j++) {
            snprintf(line, sizeof line, "%s--log %s", commands[i],
                     output_names[j]);
            refuses_for(line, "--log", "standard output");
        }
    folder_remove();
}

Test(standard_output, that_is_appended_to_keeps_what_stood_there)
{
    static char text[256];
    char line[256];
    size_t i, n;

    prepare();
    make_link("out", "link");
    write_file("out", "what stood here\n", 16);
    how.output = APPENDED;
    for (i = 0; i < OUTPUT_NAMES; i++) {
        snprintf(line, sizeof line, TRAIN "--log %s", output_names[i]);
        refuses_for(line, "--log", "standard output");
        n = read_file(in_folder("out"), text, sizeof text);
        cr_assert(n == 16 && !memcmp(text, "what stood here\n", 16),
                  "eos %s: %zu bytes: %.*s", line, n, (int)n, text);
    }
    folder_remove();
}

Test(standard_output, in_a_file_beside_a_log_is_fine)
{
    prepare();
    exits_with(EOS_DONE, TRAIN "--log log");
    cr_assert(said.out_size > 0, "it says nothing");
    exits_with(EOS_DONE, TRAIN "--log /dev/null");
    folder_remove();
}

/* --- A checkpoint's name --- */

/* What `theirs` is; in both commands, alone, with --resume and with --fresh. */
static void no_checkpoint(void)
{
    static const char *const commands[] = {
        TRAIN "--checkpoint theirs",
        RUN "--checkpoint theirs",
        TRAIN "--checkpoint theirs --log new",
        TRAIN "--checkpoint theirs --fresh",
        TRAIN "--checkpoint theirs --resume",
    };
    size_t i;

    for (i = 0; i < sizeof commands / sizeof *commands; i++)
        refuses_for(commands[i], "theirs", "checkpoint");
}

Test(no_checkpoint, is_somebodys_text)
{
    prepare();
    write_diary("theirs");
    no_checkpoint();
    folder_remove();
}

Test(no_checkpoint, is_what_only_begins_like_one)
{
    prepare();
    write_file("theirs", "eos check", 9);
    no_checkpoint();
    folder_remove();
}

Test(no_checkpoint, is_a_log)
{
    prepare();
    exits_with(EOS_DONE, "toy --steps 3 --log theirs");
    no_checkpoint();
    folder_remove();
}

Test(no_checkpoint, is_an_empty_file)
{
    prepare();
    write_file("theirs", "", 0);
    no_checkpoint();
    folder_remove();
}

Test(no_checkpoint, is_a_folder)
{
    prepare();
    make_folder("theirs");
    no_checkpoint();
    folder_remove();
}

Test(no_checkpoint, is_a_pipe)
{
    prepare();
    make_pipe("theirs");
    no_checkpoint();
    folder_remove();
}

Test(no_checkpoint, is_a_device)
{
    prepare();
    make_device("theirs");
    no_checkpoint();
    folder_remove();
}

Test(no_checkpoint, is_a_link_to_a_text)
{
    prepare();
    write_diary("diary");
    make_link("diary", "theirs");
    no_checkpoint();
    folder_remove();
}

/* --- The names of vectors --- */

/* The files of --save n and of --out o, one by one taken by what `make`
 * makes. */
static void no_vectors(void (*make)(const char *name))
{
    static const struct {
        const char *command, *name;
    } table[] = {
        {TRAIN "--save n", "n-gd.npy"},
        {RUN "--save n", "n-gd.npy"},
        {RUN "--save n", "n-pg.npy"},
        {RUN "--save n", "n-gf.npy"},
        {RUN "--save n", "n-v.npy"},
        {RUN "--save n", "n-u.npy"},
        {RUN "--save n --log new --checkpoint new.ck", "n-instability.npy"},
        {DERIV "--out o", "o/grad.npy"},
        {DERIV "--out o", "o/hvp.npy"},
        {DERIV "--out o", "o/d3.npy"},
        {DERIV "--out o", "o/d4.npy"},
        {DERIV "--out o", "o/u.npy"},
    };
    size_t i;

    for (i = 0; i < sizeof table / sizeof *table; i++) {
        prepare();
        make_folder("o");
        make(table[i].name);
        refuses_for(table[i].command, table[i].name, table[i].name);
        folder_remove();
    }
}

Test(vectors, do_not_take_the_place_of_a_folder)
{
    no_vectors(make_folder);
}

Test(vectors, do_not_take_the_place_of_a_pipe)
{
    no_vectors(make_pipe);
}

Test(vectors, do_not_take_the_place_of_a_device)
{
    no_vectors(make_device);
}

/* Like the command that makes them, by another seed. */
static void replaces(const char *command, const char *name)
{
    char line[256];
    uint64_t then;

    exits_with(EOS_DONE, command);
    then = hash_of(name);
    snprintf(line, sizeof line, "%s --seed 1", command);
    exits_with(EOS_DONE, line);
    cr_assert(hash_of(name) != then, "eos %s: %s is the old one", line, name);
}

Test(vectors, replace_files)
{
    prepare();
    write_diary("n-v.npy");
    replaces(TRAIN "--save n", "n-gd.npy");
    replaces(RUN "--save n", "n-v.npy");
    replaces(RUN "--save n", "n-instability.npy");
    replaces(DERIV "--out o", "o/hvp.npy");
    folder_remove();
}

/* --- Logs that are there already --- */

static const char *const logging[] = {TRAIN, RUN, "toy --steps 3 "};

static void no_log(const char *name)
{
    char line[256];
    size_t i;

    for (i = 0; i < 3; i++) {
        snprintf(line, sizeof line, "%s--log %s", logging[i], name);
        refuses_for(line, name, name);
    }
}

Test(log, does_not_take_the_place_of_a_text)
{
    prepare();
    write_diary("diary");
    no_log("diary");
    no_log("images");
    folder_remove();
}

Test(log, does_not_take_the_place_of_what_only_begins_like_one)
{
    prepare();
    write_file("short", "# eos", 5);
    no_log("short");
    write_file("other", "# eosin stains\n", 15);
    no_log("other");
    write_file("later", "\n# eos: 0.1\n", 12);
    no_log("later");
    folder_remove();
}

Test(log, does_not_take_the_place_of_a_text_behind_a_link)
{
    prepare();
    write_diary("diary");
    make_link("diary", "link");
    no_log("link");
    folder_remove();
}

Test(log, does_not_take_the_place_of_vectors_or_checkpoints)
{
    prepare();
    exits_with(EOS_DONE, TRAIN "--save n --checkpoint ck --every 1");
    cr_assert(exists("ck"), "no checkpoint was written");
    no_log("ck");
    no_log("n-gd.npy");
    folder_remove();
}

Test(log, that_is_slow_does_not_take_the_place_of_a_text)
{
    prepare();
    write_diary("w.slow");
    refuses_for(RUN_FULL "--log w", "w.slow", "w.slow");
    refuses_for(RUN_FULL "--log w --checkpoint c", "w.slow", "w.slow");
    exits_with(EOS_DONE, RUN "--log w"); /* there is none */
    refuses_for(RUN_FULL "--log w", "w.slow", "w.slow");
    folder_remove();
}

/* An old log of any command, and an empty file. */
Test(log, takes_the_place_of_a_log)
{
    char line[256];
    size_t i;

    prepare();
    for (i = 0; i < 3; i++) {
        write_file("empty", "", 0);
        snprintf(line, sizeof line, "%s--log empty", logging[i]);
        exits_with(EOS_DONE, line);
        log_read(&log_a, in_folder("empty"));
        exits_with(EOS_DONE, RUN "--log log");
        snprintf(line, sizeof line, "%s--log log", logging[i]);
        exits_with(EOS_DONE, line);
        log_read(&log_b, in_folder("log"));
        same_rows(&log_a, &log_b, logging[i]);
    }
    folder_remove();
}

Test(log, that_is_slow_takes_the_place_of_one)
{
    uint64_t then;

    prepare();
    write_file("w.slow", "", 0);
    exits_with(EOS_DONE, RUN_FULL "--log w");
    then = hash_of("w.slow");
    exits_with(EOS_DONE, RUN_FULL "--log w --seed 1");
    cr_assert(hash_of("w.slow") != then, "w.slow is the old one");
    folder_remove();
}

/* --- Bad input leaves outputs alone --- */

/* A log, a checkpoint of other options and vectors, all of them replaceable,
 * in a run that fails for another reason. */
Test(bad_input, leaves_outputs_alone)
{
    static const char *const bad[][2] = {
        {TRAIN "--data none", "none"},      {RUN "--data diary", "diary"},
        {TRAIN "--test none", "none"},      {RUN "--test diary", "diary"},
        {TRAIN "--init none", "none"},      {RUN "--init diary", "diary"},
        {TRAIN "--samples 3", "--samples"}, {TRAIN "--lr -1", "--lr"},
    };
    char line[512];
    size_t i;

    prepare();
    write_diary("diary");
    exits_with(EOS_DONE,
               RUN_FULL "--log log --checkpoint c --every 1 --save n");
    cr_assert(exists("c") && exists("log.slow"), "no checkpoint");
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(line, sizeof line, "%s --log log --checkpoint c --save n",
                 bad[i][0]);
        refuses_for(line, bad[i][1], bad[i][1]);
        snprintf(line, sizeof line, "%s --log log --seed 1", bad[i][0]);
        refuses_for(line, bad[i][1], bad[i][1]);
    }
    folder_remove();
}

/* One of the outputs cannot be: the others are not touched. */
Test(bad_output, leaves_the_others_alone)
{
    static const char *const bad[][2] = {
        {TRAIN "--log log --checkpoint c --save no/n", "no/n"},
        {TRAIN "--log log --checkpoint no/c --save n", "no/c"},
        {TRAIN "--log no/log --checkpoint c --save n", "no/log"},
        {TRAIN "--log log --checkpoint diary --save n", "diary"},
        {TRAIN "--log diary --checkpoint c --save n", "diary"},
        {TRAIN "--log log --checkpoint c --save d", "d-gd.npy"},
    };
    char line[512];
    size_t i;

    prepare();
    write_diary("diary");
    make_folder("d-gd.npy");
    exits_with(EOS_DONE, TRAIN "--log log --checkpoint c --every 1 --save n");
    cr_assert(exists("c"), "no checkpoint");
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(line, sizeof line, "%s --seed 1", bad[i][0]);
        refuses_for(line, bad[i][1], bad[i][1]);
    }
    folder_remove();
}

/* --- Finished work --- */

#define KEPT " --checkpoint ck --every 1"

static const struct {
    const char *command;
    int steps;
} work[] = {
    {"run " FAST, 3},
    {"train " SHORT_TRAINING " --samples 2 --sharp 1", 3},
};
enum { WORK = sizeof work / sizeof *work };

/* The command with `more`, for so many steps. */
static const char *words(const char *command, int steps, const char *more)
{
    static char line[512];

    snprintf(line, sizeof line, "%s --steps %d%s", command, steps, more);
    return line;
}

static void finish(size_t which)
{
    exits_with(EOS_DONE, words(work[which].command, work[which].steps,
                               KEPT " --log log"));
    cr_assert(exists("ck"), "no checkpoint was written");
}

/* The rows of `log` are those of as many steps without a checkpoint. */
static void has_rows_of(size_t which, int steps)
{
    exits_with(EOS_DONE, words(work[which].command, steps, " --log ref"));
    log_read(&log_a, in_folder("ref"));
    log_read(&log_b, in_folder("log"));
    same_rows(&log_a, &log_b, work[which].command);
}

Test(again, needs_resume_or_fresh)
{
    size_t i;

    for (i = 0; i < WORK; i++) {
        const char *command = work[i].command;
        int steps = work[i].steps;

        prepare();
        finish(i);
        refuses_for(words(command, steps, KEPT " --log log"), "--resume",
                    "--fresh");
        refuses_for(words(command, steps, KEPT), "--resume", "--fresh");
        refuses_for(words(command, steps, KEPT " --log new --save n"),
                    "--resume", "--fresh");
        refuses_for(words(command, 1, KEPT " --log log"), "--resume",
                    "--fresh");
        refuses_for(words(command, steps + 2, KEPT " --log log"), "--resume",
                    "--fresh");
        folder_remove();
    }
}

Test(again, names_the_checkpoint)
{
    prepare();
    finish(1);
    refuses_for(words(work[1].command, 3, KEPT), "ck", "--fresh");
    folder_remove();
}

/* Fewer steps than before, so that what stood there shows. */
Test(again, with_fresh_replaces)
{
    size_t i;
    uint64_t then;

    for (i = 0; i < WORK; i++) {
        const char *command = work[i].command;

        prepare();
        finish(i);
        then = hash_of("ck");
        exits_with(EOS_DONE, words(command, 2, KEPT " --log log --fresh"));
        has_rows_of(i, 2);
        cr_assert(hash_of("ck") != then, "%s: the old checkpoint", command);
        exits_with(EOS_DONE, words(command, 4, KEPT " --log log --resume"));
        has_rows_of(i, 4);
        folder_remove();
    }
}

Test(again, with_resume_goes_on)
{
    size_t i;

    for (i = 0; i < WORK; i++) {
        prepare();
        finish(i);
        exits_with(EOS_DONE, words(work[i].command, work[i].steps + 2,
                                   KEPT " --log log --resume"));
        has_rows_of(i, work[i].steps + 2);
        folder_remove();
    }
}

Test(again, with_both_is_refused)
{
    size_t i;

    for (i = 0; i < WORK; i++) {
        prepare();
        refuses_for(words(work[i].command, 3, KEPT " --resume --fresh"),
                    "--resume", "--fresh");
        finish(i);
        refuses_for(
            words(work[i].command, 3, KEPT " --log log --fresh --resume"),
            "--resume", "--fresh");
        folder_remove();
    }
}

/* The checkpoint is that of the new seed afterwards: only this one resumes. */
Test(again, with_other_options_replaces)
{
    size_t i;

    for (i = 0; i < WORK; i++) {
        const char *command = work[i].command;

        prepare();
        finish(i);
        exits_with(EOS_DONE, words(command, 3, KEPT " --log log --seed 1"));
        exits_with(EOS_USAGE, words(command, 3, KEPT " --log log --resume"));
        cr_assert(strstr(said.err, "seed: "), "%s", said.err);
        exits_with(EOS_DONE,
                   words(command, 4, KEPT " --log log --seed 1 --resume"));
        folder_remove();
    }
}

/* A checkpoint of the other command. */
Test(again, with_another_command_replaces)
{
    prepare();
    finish(0);
    finish(1);
    has_rows_of(1, 3);
    folder_remove();
}

Test(fresh, without_a_checkpoint_changes_nothing)
{
    size_t i;

    for (i = 0; i < WORK; i++) {
        prepare();
        exits_with(EOS_DONE, words(work[i].command, 3, " --log log --fresh"));
        has_rows_of(i, 3);
        folder_remove();
    }
}

Test(fresh, where_nothing_is_starts)
{
    size_t i;

    for (i = 0; i < WORK; i++) {
        prepare();
        exits_with(EOS_DONE,
                   words(work[i].command, 3, KEPT " --log log --fresh"));
        has_rows_of(i, 3);
        cr_assert(exists("ck"), "no checkpoint");
        folder_remove();
    }
}

/* --- Two runs at once --- */

/* Another process, this one, has the whole file; reading it would let go of
 * it, as the rules of fcntl have it. */
static int take(const char *name)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = open(in_folder(name), O_RDWR);

    cr_assert(fd >= 0 && fcntl(fd, F_SETLK, &lock) == 0, "%s: %s", name,
              strerror(errno));
    return fd;
}

/* look() comes before the lock, unchanged() after the last run. */
Test(locked, log_is_left_alone)
{
    static const char *const commands[] = {
        TRAIN "--log log", RUN "--log log --checkpoint new",
        RUN_FULL "--log log", TRAIN "--log link"};
    size_t i;
    int fd;

    prepare();
    exits_with(EOS_DONE, TRAIN "--log log");
    make_link("log", "link");
    look();
    fd = take("log");
    for (i = 0; i < sizeof commands / sizeof *commands; i++)
        refuses(commands[i], "another run");
    unchanged("with a locked log");
    close(fd);
    exits_with(EOS_DONE, TRAIN "--log log");
    folder_remove();
}

Test(locked, empty_log_is_left_alone)
{
    int fd;

    prepare();
    write_file("log", "", 0);
    look();
    fd = take("log");
    refuses(TRAIN "--log log", "another run");
    unchanged("with a locked log");
    close(fd);
    exits_with(EOS_DONE, TRAIN "--log log");
    folder_remove();
}

static pid_t first;

/* Rows follow the names of the columns. */
static bool has_rows(const char *name)
{
    static char text[FILE_MOST];
    const char *names;
    size_t n;

    if (!exists(name))
        return false;
    n = read_file(in_folder(name), text, sizeof text - 1);
    text[n] = 0;
    names = strstr(text, "\n# columns:");
    names = names ? strchr(names + 1, '\n') : NULL;
    return names && names[1];
}

/* Starts a run and stops it when its log has rows and its checkpoint, where
 * one is awaited, is there. */
static void first_runs(const char *arguments, const char *log,
                       const char *checkpoint)
{
    const struct timespec pause = {0, 2000000};
    int status, i;

    how.apart = true;
    first = launch(arguments);
    how.apart = false;
    for (i = 0; i < 10000; i++) {
        if (has_rows(log) && (!checkpoint || exists(checkpoint)))
            break;
        nanosleep(&pause, NULL);
    }
    kill(first, SIGSTOP);
    cr_assert(waitpid(first, &status, WUNTRACED) == first, "waitpid");
    cr_assert(WIFSTOPPED(status), "eos %s: it ended before it was stopped",
              arguments);
    cr_assert(i < 10000, "eos %s: no row or no checkpoint in 20 s", arguments);
}

/* Lets it go on, with a signal if not 0; how it ends. */
static int first_ends(int signal)
{
    int status;

    if (signal)
        kill(first, signal);
    kill(first, SIGCONT);
    cr_assert(waitpid(first, &status, 0) == first, "waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#define LONG "train " FEW "--steps 1000000 --sharp 1 "

static void second_is_refused(const char *arguments)
{
    refuses_for(arguments, "another run", "another run");
}

/* The ends of a run: by itself after a signal, or without a last word. */
static const int ends[] = {SIGTERM, SIGKILL};

Test(two_runs, on_one_log)
{
    size_t i;

    for (i = 0; i < 2; i++) {
        prepare();
        make_link("log", "link");
        first_runs(LONG "--log log", "log", NULL);
        second_is_refused(TRAIN "--log log");
        second_is_refused(RUN "--log log --checkpoint new");
        second_is_refused(TRAIN "--log link");
        cr_assert(first_ends(ends[i]) == 128 + ends[i], "signal %d", ends[i]);
        exits_with(EOS_DONE, TRAIN "--log log");
        folder_remove();
    }
}

/* The first has not come to write a checkpoint: the name is free. */
Test(two_runs, on_one_checkpoint_to_be)
{
    size_t i;

    for (i = 0; i < 2; i++) {
        prepare();
        make_folder("sub");
        first_runs(LONG "--log log --checkpoint ck --every 1000000", "log",
                   NULL);
        cr_assert(!exists("ck"), "there is a checkpoint");
        second_is_refused(TRAIN "--checkpoint ck");
        second_is_refused(TRAIN "--checkpoint ck --log new");
        second_is_refused(TRAIN "--checkpoint ck --log new --resume");
        second_is_refused(TRAIN "--checkpoint ck --log new --fresh");
        second_is_refused(TRAIN "--checkpoint ./ck");
        second_is_refused(RUN "--checkpoint sub/../ck --save n");
        cr_assert(first_ends(ends[i]) == 128 + ends[i], "signal %d", ends[i]);
        exits_with(EOS_DONE, TRAIN "--checkpoint ck --log new --fresh");
        folder_remove();
    }
}

/* The first has replaced its checkpoint many times. */
Test(two_runs, on_one_checkpoint)
{
    size_t i;

    for (i = 0; i < 2; i++) {
        prepare();
        first_runs(LONG "--log log --checkpoint ck --every 1", "log", "ck");
        second_is_refused(LONG "--steps 1 --checkpoint ck --resume");
        second_is_refused(LONG "--steps 1 --checkpoint ck --fresh");
        second_is_refused(TRAIN "--checkpoint ck --seed 1 --log new");
        second_is_refused(RUN "--checkpoint ./ck --every 1 --save n");
        cr_assert(first_ends(ends[i]) == 128 + ends[i], "signal %d", ends[i]);
        exits_with(EOS_DONE, LONG "--steps 1 --checkpoint ck --resume");
        exits_with(EOS_DONE, TRAIN "--checkpoint ck --log new --fresh");
        folder_remove();
    }
}

/* The same command twice, and twice with --resume: the one that was there
 * goes on to its end, with the rows of a run that nobody disturbed. */
Test(two_runs, do_the_first_no_harm)
{
    static const char steps[] = "train " FEW "--steps 400 --sharp 2 ";
    char line[256];

    prepare();
    snprintf(line, sizeof line, "%s--log ref --save ref", steps);
    exits_with(EOS_DONE, line);
    snprintf(line, sizeof line, "%s--log log --save n" KEPT, steps);
    first_runs(line, "log", "ck");
    strcat(line, " --fresh");
    second_is_refused(line);
    strcpy(strstr(line, " --fresh"), " --resume");
    second_is_refused(line);
    cr_assert(first_ends(0) == EOS_DONE, "the first run failed");
    log_read(&log_a, in_folder("ref"));
    log_read(&log_b, in_folder("log"));
    same_rows(&log_a, &log_b, "beside another run");
    cr_assert(hash_of("ref-gd.npy") == hash_of("n-gd.npy"), "other vectors");
    folder_remove();
}

/* A lock is not on the folder. */
Test(two_runs, on_their_own_files_run)
{
    prepare();
    first_runs(LONG "--log log --checkpoint ck --every 1", "log", "ck");
    exits_with(EOS_DONE, TRAIN "--log log2 --checkpoint ck2 --every 1");
    exits_with(EOS_DONE, TRAIN "--log log3");
    exits_with(EOS_DONE, "toy --steps 3 --log log4");
    cr_assert(first_ends(SIGKILL) == 128 + SIGKILL, "SIGKILL");
    folder_remove();
}
