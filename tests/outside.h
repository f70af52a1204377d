/*
 * What the test programs share that know eos from outside alone: the little
 * that logs.h, small.h and program.h otherwise take from eos.c.  Without it
 * they compile in a second.
 */
#pragma once
#define _GNU_SOURCE /* the processors that a process may use; terminals */

#ifdef EOS_NO_CRITERION
#include "fallback.h"
#else
#include <criterion/criterion.h>
#endif
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "../eos.h"

#define LIKE_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* CIFAR-10: a label, then SIDE x SIDE pixels in each channel. */
enum { SIDE = 32, CHANNELS = 3, CLASSES = 10, PATH = 4096 };
enum { RECORD = 1 + SIDE * SIDE * CHANNELS };

/* Ordinary files and pipes alone: no signal interrupts these tests. */
static int write_all(int fd, const void *bytes, size_t n)
{
    return write(fd, bytes, n) == (ssize_t)n ? 0 : -1;
}

/* A pipe hands out less than it is asked for. */
static ssize_t read_all(int fd, void *bytes, size_t n)
{
    size_t have = 0;
    ssize_t got = 1;

    for (; have < n && got > 0; have += got > 0 ? (size_t)got : 0)
        got = read(fd, (char *)bytes + have, n - have);
    return got < 0 ? -1 : (ssize_t)have;
}
