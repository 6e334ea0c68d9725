/* Makes the wall clock of one process wrong by CLOCK_WRONG_BY seconds: preloaded before libc.
 *
 * The monotonic clock stays, as it does on a machine whose clock is wrong. libfaketime is no help:
 * its 0.9.10 breaks `clock_nanosleep` by the monotonic clock, which is Python's `time.sleep`. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long wrong_by(void) {
    static long seconds;
    static int known;
    if (!known) {
        const char *given = getenv("CLOCK_WRONG_BY");
        seconds = given ? atol(given) : 0;
        known = 1;
    }
    return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += wrong_by();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec found;
    (void)zone;
    int failed = clock_gettime(CLOCK_REALTIME, &found);
    if (!failed) {
        now->tv_sec = found.tv_sec;
        now->tv_usec = found.tv_nsec / 1000;
    }
    return failed;
}

time_t time(time_t *kept) {
    struct timespec found;
    if (clock_gettime(CLOCK_REALTIME, &found))
        return -1;
    if (kept)
        *kept = found.tv_sec;
    return found.tv_sec;
}
