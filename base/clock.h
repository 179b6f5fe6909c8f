/* Time, read in one place. Protocol code never calls these: it is given a time. */
#ifndef AZOTH_BASE_CLOCK_H
#define AZOTH_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_mono_ms(void);       /* since some point in the past; never goes back; for ages and timers */
uint64_t clock_mono_us(void);
uint64_t clock_wall_ms(void);       /* since 1970; may jump; only for showing and for core time's lower bound */
uint32_t clock_wall_s(void);        /* the same in seconds, also for the age of cookies; from the kernel's last tick: late, cheap */

#endif
