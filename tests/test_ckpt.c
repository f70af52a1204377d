/*
 * Checkpoints from outside: the program is killed, stopped, started again
 * and given damaged files; the rows and the vectors must be those of a run
 * that nothing happened to.
 */
#include "faults.h"
#include "common.h"
#include "logs.h"
#include "small.h"
#include "program.h"

/* The approach (which goes back once) and some steps of the track. */
#define RUN_HALF \
    SHORT " --samples 6 --kick 0.01 --generalized --neigs 2 --central"
#define RUN_OPTIONS RUN_HALF " --steps 4"
#define APPROACH SHORT " --samples 6 --steps 0"
#define GUARDED " --checkpoint ck --every 1"

/* The rows and vectors to compare with, in log_a and ref-*.npy. */
static void reference(const char *command)
{
    int status = eos("%s --log ref --save ref", command);

    cr_assert(status == EOS_DONE, "%s: status %d: %s", command, status,
              said.err);
    log_read(&log_a, in_folder("ref"));
}

static size_t content(const char *name, char *to, size_t room)
{
    return read_file(in_folder(name), to, room);
}

static void same_file(const char *a, const char *b)
{
    static char one[6 << 20], two[6 << 20];
    size_t n = content(a, one, sizeof one), m = content(b, two, sizeof two);

    cr_assert(n && n == m && !memcmp(one, two, n), "%s and %s differ", a, b);
}

/* The log and the vectors are those of the reference. */
static void same_results(const char *what, bool run)
{
    static const char *const vectors[] = {"gd", "pg", "gf",
                                          "v",  "u",  "instability"};
    char one[64], two[64];
    size_t i;

    log_read(&log_b, in_folder("log"));
    same_rows(&log_a, &log_b, what);
    for (i = 0; i < (run ? 6 : 1); i++) {
        snprintf(one, sizeof one, "ref-%s.npy", vectors[i]);
        snprintf(two, sizeof two, "now-%s.npy", vectors[i]);
        same_file(one, two);
    }
}

static void clean(void)
{
    static const char *const names[] = {"log", "ck", "ck.tmp"};
    size_t i;

    for (i = 0; i < sizeof names / sizeof *names; i++)
        unlink(in_folder(names[i]));
}

/* Goes on from whatever there is until the run ends. */
static void finish(const char *command, const char *what)
{
    int status;

    how.signal = 0;
    status = eos("%s" GUARDED " --resume --log log --save now", command);
    cr_assert(status == EOS_DONE, "%s: status %d: %s", what, status, said.err);
    same_results(what, strstr(command, "run") == command);
}

static double time_of(const char *command)
{
    double began = seconds();

    cr_assert(eos("%s" GUARDED " --log log --save now", command) == EOS_DONE,
              "%s", said.err);
    clean();
    return seconds() - began;
}

/* Thirty kills at random moments; a run that ends is compared and the next
 * one begins anew. */
static void killed_again_and_again(const char *command, size_t kills)
{
    uint64_t rng = 7;
    double time;
    size_t i, died = 0;

    prepare();
    reference(command);
    time = time_of(command);
    for (i = 0; died < kills && i < 20 * kills; i++) {
        how.signal = SIGKILL;
        how.after = uniform(&rng, 0, 0.6 * time);
        if (eos("%s" GUARDED " --resume --log log --save now", command) ==
            EOS_DONE) {
            same_results("after kills", strstr(command, "run") == command);
            clean();
        } else {
            cr_assert(said.status == 128 + SIGKILL, "status %d: %s",
                      said.status, said.err);
            died++;
        }
    }
    cr_assert(died == kills, "%zu kills only", died);
    finish(command, "after the last kill");
    folder_remove();
}

Test(kill, thirty_times_in_a_run)
{
    killed_again_and_again("run " RUN_OPTIONS, 30);
}

Test(kill, ten_times_in_training)
{
    killed_again_and_again(
        "train " SHORT_TRAINING " --steps 20 --sharp 3 --neigs 2", 10);
}

/* --- A fault in each call that changes a file --- */

/* eos in a process of the test's own: its calls can be made to fail.  Returns
 * its status, 128 + SIGKILL where it was killed. */
static int eos_here(const char *command)
{
    static char line[1024];
    char *arguments[64] = {"eos"}, *word;
    int n = 1, status;
    pid_t child = fork();

    cr_assert(child >= 0, "fork");
    if (child == 0) {
        snprintf(line, sizeof line, "%s", command);
        for (word = strtok(line, " "); word; word = strtok(NULL, " "))
            arguments[n++] = word;
        if (chdir(folder))
            _exit(126);
        redirect("err", STDERR_FILENO);
        redirect("out", STDOUT_FILENO);
        fault.on = true;
        status = choose(n, arguments);
        dprintf(STDERR_FILENO, "eos: %s\n", failure);
        dprintf(STDOUT_FILENO, "%s", fault.struck ? "" : "no fault\n");
        _exit(status);
    }
    cr_assert(waitpid(child, &status, 0) == child, "waitpid");
    said.err[content("err", said.err, sizeof said.err - 1)] = 0;
    said.out[content("out", said.out, sizeof said.out - 1)] = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Puts back what there was when the program stopped. */
static void stand_again(void)
{
    static const char *const names[] = {"ck", "log"};
    static char bytes[1 << 22];
    char kept[8];
    size_t i, n;

    for (i = 0; i < 2; i++) {
        snprintf(kept, sizeof kept, "%s0", names[i]);
        n = content(kept, bytes, sizeof bytes);
        write_file(names[i], bytes, n);
    }
    unlink(in_folder("ck.tmp"));
}

/* The log may end early, with a whole line; nothing else is half there. */
static void nothing_is_half_written(size_t at)
{
    static char text[1 << 20];
    size_t n = content("log", text, sizeof text);
    DIR *all = opendir(folder);
    struct dirent *file;

    cr_assert(!n || text[n - 1] == '\n', "fault %zu: half a row", at);
    while ((file = readdir(all)))
        cr_assert(!strstr(file->d_name, ".tmp"), "fault %zu leaves %s", at,
                  file->d_name);
    closedir(all);
}

/* `halt` ends some steps before `whole_run` does.  From its checkpoint on, a
 * fault in call 1, 2, 3 ... of a run that goes on, among them all calls of its
 * first checkpoint, and then in every 41st; after each the next start ends
 * with the bits of a run without faults. */
static void fault_everywhere(int kind, const char *whole_run, const char *halt,
                             int halted)
{
    size_t survived = 0;
    char command[256];
    int status;

    status = eos("%s" GUARDED " --log log --save now", halt);
    cr_assert(status == halted, "status %d: %s", status, said.err);
    cr_assert(!rename(in_folder("ck"), in_folder("ck0")) &&
                  !rename(in_folder("log"), in_folder("log0")),
              "rename");
    snprintf(command, sizeof command,
             "%s" GUARDED " --resume --log log --save now", whole_run);
    fault.kind = kind;
    for (fault.at = 1;; fault.at += fault.at < 60 ? 1 : 41) {
        stand_again();
        status = eos_here(command);
        if (status != 128 + SIGKILL && strstr(said.out, "no fault"))
            break;
        survived++;
        if (kind == FAULT_KILL) {
            cr_assert(status == 128 + SIGKILL, "fault %zu: status %d: %s",
                      fault.at, status, said.err);
        } else if (status != EOS_DONE) { /* a folder's fsync does no harm */
            cr_assert(status == EOS_FAILED || status == EOS_USAGE,
                      "fault %zu: status %d: %s", fault.at, status, said.err);
            cr_assert(strstr(said.err, strerror(ENOSPC)), "fault %zu: %s",
                      fault.at, said.err);
            nothing_is_half_written(fault.at);
        }
        finish(whole_run, "after a fault");
    }
    printf("%zu faults\n", survived);
    cr_assert(survived > 40, "%zu faults only", survived);
    fault.at = 0;
    folder_remove();
}

static void fault_in_the_track(int kind)
{
    prepare();
    reference("run " FAST " --steps 5");
    fault_everywhere(kind, "run " FAST " --steps 5", "run " FAST " --steps 4",
                     EOS_DONE);
}

Test(power, cut_within_any_write_of_the_track_loses_nothing)
{
    fault_in_the_track(FAULT_KILL);
}

Test(disk, full_at_any_write_of_the_track_loses_nothing)
{
    fault_in_the_track(FAULT_ERROR);
}

Test(power, cut_within_any_write_of_the_approach_loses_nothing)
{
    const struct block *b = &log_a.block[0];
    char halt[256];

    prepare();
    reference("run " APPROACH);
    snprintf(halt, sizeof halt, "run " APPROACH " --max-steps %.0f",
             b->value[b->rows - 1][0] - 1);
    fault_everywhere(FAULT_KILL, "run " APPROACH, halt, EOS_UNREACHED);
}

/* --- Signals that ask --- */

static void stopped_by(int signal, const char *name)
{
    uint64_t rng = 3;
    double time;
    size_t stops = 0, i;

    prepare();
    reference("run " RUN_OPTIONS);
    time = time_of("run " RUN_OPTIONS);
    for (i = 0; i < 40 && stops < 5; i++) {
        how.signal = signal;
        how.after = uniform(&rng, 0.02, 0.5) * time;
        if (eos("run " RUN_OPTIONS GUARDED " --resume --log log --save now") ==
            EOS_DONE) {
            clean();
            continue;
        }
        if (said.status == 128 + SIGKILL) /* before it listens */
            continue;
        stops++;
        cr_assert(said.status == 128 + signal, "status %d", said.status);
        cr_assert(strstr(said.err, name) && strstr(said.err, "--resume"), "%s",
                  said.err);
        cr_assert(strstr(said.out, "summary stop: signal"), "no summary");
    }
    cr_assert(stops == 5, "stopped %zu times", stops);
    finish("run " RUN_OPTIONS, name);
    folder_remove();
}

Test(signals, sigterm_writes_a_checkpoint_and_exits_143)
{
    stopped_by(SIGTERM, "SIGTERM");
}

Test(signals, sigint_writes_a_checkpoint_and_exits_130)
{
    stopped_by(SIGINT, "SIGINT");
}

/* The first sharpness of 1000 images to 1e-12 takes seconds: the boundary at
 * which one signal would end the run is far. */
Test(signals, a_second_one_exits_at_once)
{
    prepare();
    how.signal = SIGTERM;
    how.second = SIGINT;
    for (how.after = 1; how.after < 60; how.after *= 2) {
        eos("train --samples 1000 --tol 1e-12 --deriv f64 --neigs 8 "
            "--steps 1 --sharp 1 --threads 1" GUARDED " --log log");
        if (said.status != 128 + SIGKILL) /* before it listens */
            break;
    }
    cr_assert(said.status == 128 + SIGINT, "status %d: %s", said.status,
              said.err);
    cr_assert(!strstr(said.err, "stopped") && said.out_size > 0, "%s%s",
              said.err, said.out);
    cr_assert(access(in_folder("ck"), F_OK) &&
                  access(in_folder("ck.tmp"), F_OK),
              "a checkpoint");
    folder_remove();
}

/* --- What may change, and what may not --- */

/* A checkpoint in the track, two steps before the end. */
static void halfway(void)
{
    prepare();
    cr_assert(eos("run " RUN_HALF " --steps 2" GUARDED
                  " --log log --save now") == EOS_DONE,
              "%s", said.err);
}

/* The same, with what the end is to be compared with. */
static void stop_halfway(void)
{
    halfway();
    reference("run " RUN_OPTIONS);
}

Test(resume, may_change_what_shapes_no_number)
{
    stop_halfway();
    cr_assert(eos("run " RUN_OPTIONS " --checkpoint ck --every 7 --resume "
                  "--max-steps 5000 --threads 3 --log log --save now") ==
                  EOS_DONE,
              "%s", said.err);
    same_results("other threads", true);
    folder_remove();
}

Test(resume, begins_a_log_that_is_empty)
{
    stop_halfway();
    write_file("empty", "", 0);
    cr_assert(eos("run " RUN_OPTIONS " --checkpoint ck --resume --log empty "
                  "--save now") == EOS_DONE,
              "%s", said.err);
    log_read(&log_a, in_folder("empty"));
    cr_assert(log_comment(&log_a, "summary stop") && log_a.blocks, "no log");
    folder_remove();
}

/* A checkpoint a step before the end, and on from there. */
static void stopped_before_the_end(const char *command, int before, int steps)
{
    char all[512];

    snprintf(all, sizeof all, "%s --steps %d", command, steps);
    reference(all);
    cr_assert(eos("%s --steps %d" GUARDED " --log log --save now", command,
                  before) == EOS_DONE,
              "%s", said.err);
    finish(all, command);
    clean();
}

Test(resume, continues_resnet18)
{
    prepare();
    stopped_before_the_end("run --data images --model resnet18 --loss bmse "
                           "--samples 2 --lr 0.03 --tol 0.9 --proj 0 "
                           "--stop-lambda2 inf --threads 1",
                           1, 2);
    stopped_before_the_end("train --data images --model resnet18 --loss mse "
                           "--samples 1 --lr 0.01 --tol 0.9 --sharp 2 "
                           "--threads 2",
                           3, 4);
    folder_remove();
}

/* Test sentences of 40 tokens, where the longest to train on has fewer, change
 * no number of the run. */
Test(resume, continues_a_transformer)
{
    static char text[4096] = "sentence\tlabel\n";
    static const char run[] = "run --model transformer --loss bmse "
                              "--samples 8 --lr 0.08 --tol 1e-2 --kick 0.01 "
                              "--stop-lambda2 inf --generalized --threads 2";
    char tested[512];
    size_t at = strlen(text), i;

    prepare();
    for (i = 0; i < 120; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%zu %s", i * 7,
                               i % 40 == 39 ? "\t1\n" : "");
    write_file("long", text, at);
    snprintf(tested, sizeof tested, "%s --test long", run);
    stopped_before_the_end(tested, 3, 4);
    cr_assert(eos("%s --steps 4 --save alone", run) == EOS_DONE, "%s",
              said.err);
    same_file("alone-gd.npy", "ref-gd.npy");
    same_file("alone-v.npy", "ref-v.npy");
    stopped_before_the_end("train --model transformer --loss logistic "
                           "--samples 8 --lr 0.1 --tol 1e-2 --sharp 3 "
                           "--threads 1",
                           10, 20);
    folder_remove();
}

/* The number in the log's last comment that begins like this: it holds. */
static long commented(const char *beginning)
{
    size_t i, len = strlen(beginning);

    log_read(&log_b, in_folder("log"));
    for (i = log_b.comments; i--;)
        if (!strncmp(log_b.comment[i], beginning, len))
            return atol(log_b.comment[i] + len);
    cr_assert(false, "no comment %s", beginning);
    return 0;
}

Test(resume, says_in_the_log_what_changed)
{
    stop_halfway();
    cr_assert(commented("steps: ") == 2, "before");
    cr_assert(eos("run " RUN_OPTIONS GUARDED " --max-steps 5000 --resume "
                  "--log log --save now") == EOS_DONE,
              "%s", said.err);
    cr_assert(commented("steps: ") == 4, "steps");
    cr_assert(commented("max-steps: ") == 5000, "max-steps");
    same_results("other bounds", true);
    finish("run " RUN_OPTIONS " --max-steps 5000", "the same bounds");
    cr_assert(commented("steps: ") == 4, "once more");
    folder_remove();
}

Test(resume, refuses_other_numbers)
{
    static const struct {
        const char *options, *named;
    } bad[] = {
        {"--lr 0.116", "lr: 0.11"},
        {"--seed 1", "seed: 1"},
        {"--samples 4", "samples: 4"},
        {"--tol 1e-4", "tol: "},
        {"--proj 2", "proj: 2"},
        {"--kick 0.02", "kick: 0.02"},
        {"--eig power", "eig: power"},
        {"--deriv f64", "deriv: f64"},
        {"--neigs 1", "neigs: 1"},
        {"--loss logistic", "loss: logistic"},
        {"--stop-lambda2 1.9", "stop-lambda2: 1.8"},
        {"--test images", "test samples: "},
    };
    size_t i;

    halfway();
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        int status = eos("run " RUN_OPTIONS GUARDED " --resume --log log %s",
                         bad[i].options);

        cr_assert(status == EOS_USAGE && strstr(said.err, bad[i].named) &&
                      strstr(said.err, "eos: ck: "),
                  "%s: status %d: %s", bad[i].options, status, said.err);
    }
    folder_remove();
}

Test(resume, refuses_other_images)
{
    static char images[40 * RECORD + 1];
    size_t n;
    int status;

    halfway();
    n = content("images", images, sizeof images);
    images[3 * RECORD + 5]++; /* of a cat */
    write_file("images", images, n);
    status = eos("run " RUN_OPTIONS GUARDED " --resume --log log");
    cr_assert(status == EOS_USAGE && strstr(said.err, "data checksum: "),
              "status %d: %s", status, said.err);
    folder_remove();
}

Test(resume, says_when_there_is_nothing_and_starts)
{
    prepare();
    reference("run " RUN_OPTIONS);
    finish("run " RUN_OPTIONS, "a fresh start");
    cr_assert(strstr(said.err, "ck: no checkpoint yet"), "%s", said.err);
    exits_with(EOS_USAGE, "run " TINY " --resume");
    cr_assert(strstr(said.err, "--resume: needs --checkpoint"), "%s", said.err);
    folder_remove();
}

/* --- Damaged files --- */

static void refused(const char *what, size_t at)
{
    int status = eos("run " RUN_OPTIONS GUARDED " --resume --log log");

    cr_assert(status == EOS_USAGE && strstr(said.err, "eos: ck: "),
              "%s at %zu: status %d: %s", what, at, status, said.err);
}

Test(damage, every_kind_is_refused_and_the_log_left_alone)
{
    static char good[1 << 22], bad[1 << 22];
    uint64_t rng = 5;
    size_t n, i, at;

    stop_halfway();
    n = content("ck", good, sizeof good);
    cr_assert(n > 1000 && n < sizeof good - 1, "%zu bytes", n);
    for (i = 0; i < 12; i++) { /* cut short: at 0, in the head, anywhere */
        at = i < 6 ? 7 * i : whole_number(&rng, 40, n - 1);
        write_file("ck", good, at);
        refused("cut", at);
    }
    for (i = 0; i < 24; i++) { /* one bit */
        at = i < 12 ? 3 * i : whole_number(&rng, 0, n - 1);
        memcpy(bad, good, n);
        bad[at] = (char)(bad[at] ^ 1 << i % 8);
        write_file("ck", bad, n);
        refused("a bit", at);
    }
    memcpy(bad, good, n);
    write_file("ck", bad, n + 1);
    refused("longer", n);
    write_file("ck", "\x93NUMPY", 6);
    refused("foreign", 6);
    write_file("ck", good, n);
    finish("run " RUN_OPTIONS, "the good file again");
    folder_remove();
}

Test(damage, a_log_that_went_on_is_cut_back)
{
    static char text[1 << 20];
    size_t n;

    stop_halfway();
    n = content("log", text, sizeof text - 40);
    memcpy(text + n, "         17   1.2345", 20);
    write_file("log", text, n + 20);
    finish("run " RUN_OPTIONS, "a half row");
    folder_remove();
}

Test(damage, a_foreign_log_is_refused_and_kept)
{
    static char text[64];

    halfway();
    write_file("log", "my diary\n", 9);
    cr_assert(eos("run " RUN_OPTIONS GUARDED " --resume --log log") ==
                      EOS_USAGE &&
                  strstr(said.err, "log: is not a log of eos"),
              "%s", said.err);
    cr_assert(content("log", text, sizeof text) == 9, "the diary is lost");
    write_file("log", "# eos: 0.1\n", 11);
    cr_assert(eos("run " RUN_OPTIONS GUARDED " --resume --log log") ==
                      EOS_USAGE &&
                  strstr(said.err, "log: is not the log"),
              "%s", said.err);
    cr_assert(content("log", text, sizeof text) == 11, "the log is lost");
    folder_remove();
}

/* A new log holds the rows from here on. */
Test(damage, a_lost_log_begins_anew)
{
    size_t rows;

    stop_halfway();
    unlink(in_folder("log"));
    cr_assert(eos("run " RUN_OPTIONS GUARDED " --resume --log log") == EOS_DONE,
              "%s", said.err);
    log_read(&log_b, in_folder("log"));
    rows = log_b.block[0].rows;
    cr_assert(log_b.blocks == 1 && rows >= 1 &&
                  !strcmp(log_b.block[0].line[rows - 1],
                          log_a.block[1].line[log_a.block[1].rows - 1]),
              "%zu blocks, %zu rows", log_b.blocks, rows);
    folder_remove();
}

/* --- Disks and folders --- */

/* The limit is between the size of a row and that of a checkpoint. */
Test(disk, full_while_checkpointing_keeps_the_one_before)
{
    int status;

    stop_halfway();
    cr_assert(!rename(in_folder("ck"), in_folder("kept")) &&
                  !link(in_folder("kept"), in_folder("ck")),
              "rename");
    how.file_size = 300000;
    status = eos("run " RUN_OPTIONS GUARDED " --resume --log log");
    cr_assert(status == EOS_FAILED && strstr(said.err, "ck: cannot write"),
              "status %d: %s", status, said.err);
    same_file("ck", "kept");
    cr_assert(access(in_folder("ck.tmp"), F_OK), "a half file is left");
    how.file_size = 0;
    finish("run " RUN_OPTIONS, "with room again");
    folder_remove();
}

Test(disk, folders_that_do_not_exist)
{
    prepare();
    exits_with(EOS_USAGE, "run " TINY " --checkpoint no/ck");
    cr_assert(strstr(said.err, "no/ck: cannot create"), "%s", said.err);
    exits_with(EOS_USAGE, "run " TINY " --checkpoint . --resume");
    folder_remove();
}
