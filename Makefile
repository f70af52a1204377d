# eos: the same rules in GNU make and BSD make.
#   make CC=clang CFLAGS='-O3'      another compiler, other flags
#   make SAMPLES=50000              room for more training images

CC = cc
CFLAGS = -O2 -Wall -Wextra -Wpedantic
LDFLAGS =
SAMPLES = 5000
PREFIX = /usr/local

# The numbers rely on these: fused multiply-add only where it is written.
NUMBERS = -std=c11 -ffp-contract=off -DSAMPLES=$(SAMPLES)
LIBS = -lm -lpthread

# One minute on two cores: few samples, the built-in images.
QUICK = --samples 500 --lr 0.02 --steps 200

BUILD = $(CC) $(NUMBERS) $(CFLAGS) $(LDFLAGS)

all: eos

eos: eos.c eos.h .build
	$(BUILD) -o eos eos.c $(LIBS)

# Changes when the way to build does, and only then.
.build: always
	@echo '$(BUILD)' | cmp -s - .build || echo '$(BUILD)' > .build

run: eos
	./eos run $(QUICK)

data: always
	data/fetch

clean:
	rm -f eos .build

install: eos
	mkdir -p $(DESTDIR)$(PREFIX)/bin
	cp eos $(DESTDIR)$(PREFIX)/bin/eos

always:

.PHONY: all run data clean install always
