/* Unpacks FILE into exactly ROOM bytes, then damaged and cut copies of it: what is read or written outside ends the program. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../init/interpreter/lz4.h"

static unsigned long unpack_in(const unsigned char *block, unsigned long length, unsigned long room, int print) {
  unsigned char *from = malloc(length), *to = malloc(room); /* of their own, for what lies behind them to be forbidden */
  memcpy(from, block, length);
  unsigned long unpacked = unpack_lz4(from, length, to, room);
  if (print) fwrite(to, 1, unpacked, stdout);
  free(from);
  free(to);
  return unpacked;
}

int main(int count, char **words) {
  static unsigned char block[1 << 20], damaged[1 << 20];
  FILE *file = count == 3 ? fopen(words[1], "rb") : NULL;
  if (file == NULL) return 2;
  unsigned long length = fread(block, 1, sizeof block, file), room = strtoul(words[2], NULL, 10);
  if (unpack_in(block, length, room, 1) != room) return 1;
  if (room > 0 && unpack_in(block, length, room - 1, 0) != 0) return 3;
  srand(1);
  for (int turn = 0; turn < 3000; turn++) {
    memcpy(damaged, block, length);
    for (int left = rand() % 4; left > 0; left--) damaged[(unsigned)rand() % length] = (unsigned char)rand();
    unsigned long kept = turn % 2 == 0 ? length : 1 + (unsigned)rand() % length;
    if (unpack_in(damaged, kept, room, 0) > room) return 4;
  }
  return 0;
}
