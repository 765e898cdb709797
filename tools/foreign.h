/* foreign.h - files that no program of the suite reads, told by their first bytes. */
#ifndef VAE_TOOLS_FOREIGN_H
#define VAE_TOOLS_FOREIGN_H

#include <stddef.h>

#define FOREIGN_BYTES 16 /* the most that are looked at */

/* Returns what a file is that begins with these bytes, and what makes an image of it, as half a
 * sentence in a constant string; NULL where it is nothing known. */
const char *foreign_kind(const unsigned char *start, size_t bytes);

#endif
