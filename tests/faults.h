/*
 * The calls of eos that change files, counted; one of them fails, or ends the
 * program half done as a power cut would.  To be included before common.h,
 * for eos.c must see it.
 */
#pragma once
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

static struct {
    enum { FAULT_KILL, FAULT_ERROR } kind;
    size_t at; /* the call it strikes, from 1; 0: none */
    size_t calls;
    bool on, struck;
} fault;

static bool fault_strikes(void)
{
    if (!fault.on || ++fault.calls != fault.at)
        return false;
    fault.struck = true;
    if (fault.kind == FAULT_KILL)
        raise(SIGKILL);
    errno = ENOSPC;
    return true;
}

/* Half of it arrives: a full disk tells so, and fails the next write. */
static ssize_t fault_write(int fd, const void *bytes, size_t n)
{
    static bool halved;

    if (fault.on && !halved && fault.calls + 1 == fault.at && n > 1) {
        ssize_t half = write(fd, bytes, n / 2);

        halved = true;
        if (fault.kind == FAULT_ERROR)
            return half;
    }
    return fault_strikes() ? -1 : write(fd, bytes, n);
}

static int fault_open(const char *name, int flags, ...)
{
    mode_t mode = 0;
    va_list args;

    va_start(args, flags);
    if (flags & O_CREAT)
        mode = (mode_t)va_arg(args, int);
    va_end(args);
    return flags & O_CREAT && fault_strikes() ? -1 : open(name, flags, mode);
}

static int fault_fsync(int fd)
{
    return fault_strikes() ? -1 : fsync(fd);
}

static int fault_rename(const char *from, const char *to)
{
    return fault_strikes() ? -1 : rename(from, to);
}

static int fault_ftruncate(int fd, off_t size)
{
    return fault_strikes() ? -1 : ftruncate(fd, size);
}

#define write fault_write
#define open fault_open
#define fsync fault_fsync
#define rename fault_rename
#define ftruncate fault_ftruncate
