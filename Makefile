# eos: the same rules in GNU make and BSD make.
#   make CC=clang CFLAGS='-O3'      another compiler, other flags
#   make SAMPLES=50000              room for more training images; likewise
#   make THREADS=64 UNSTABLE=6      threads, unstable directions
#   make TOKENS=20000               different words in sentences
#   make KERNELS=avx2               that kernel alone: avx512, avx2, neon, c

CC = cc
CFLAGS = -O2 -Wall -Wextra -Wpedantic
LDFLAGS =
SAMPLES = 5000
THREADS =
UNSTABLE =
TOKENS =
KERNELS =
PREFIX = /usr/local

# make reproduce ONLY='mlp-mse-005 mlp-ce-050' DATA=images.bin SCALE=0.1
ONLY =
DATA = data/cifar10-5k-mixed.bin
TEST = data/cifar10-test1k.bin
SENTENCES = data/sst2-train.tsv
SCALE = 1

# The numbers rely on these: fused multiply-add only where it is written.
NUMBERS = -std=c11 -ffp-contract=off
ROOM = -DSAMPLES=$(SAMPLES) -DTHREADS=$(THREADS) -DUNSTABLE=$(UNSTABLE) \
	-DTOKENS=$(TOKENS) -DONLY=ONLY_$(KERNELS)
LIBS = -lm -lpthread

# About a minute: cats against dogs, 200 built-in images.
QUICK = --loss bmse --samples 200 --lr 0.01 --kick 0.01 --steps 130 --log quick.log

BUILD = $(CC) $(NUMBERS) $(ROOM) $(CFLAGS) $(LDFLAGS)

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

bench: eos bench/bench
	bench/bench

bench/bench: bench/bench.c bench/rates.h eos.c eos.h .build
	$(BUILD) -Wno-unused-function -o bench/bench bench/bench.c $(LIBS) -ldl

# The logs of bench/settings.txt, the figures of bench/pictures.txt, the table.
reproduce: eos
	DATA='$(DATA)' TEST='$(TEST)' SENTENCES='$(SENTENCES)' SCALE='$(SCALE)' bench/reproduce $(ONLY)

figures: always
	SCALE='$(SCALE)' bench/draw

results: always
	bench/collect --into bench/RESULTS.md bench/logs/*.log

# Two programs, for eos.c takes long to compile: tests/inside has all of it,
# tests/outside only starts ./eos.  Both take Criterion's --filter.
# -no-pie: Criterion starts itself anew for each test, at the same addresses.
CHECK = $(BUILD) -Wno-unused-function -Wno-psabi -no-pie
TESTS = tests/inside tests/outside
INSIDE = tests/inside.c tests/test_numbers.c tests/test_kernels.c \
	tests/test_data.c tests/test_network.c tests/test_derivatives.c \
	tests/test_layers.c tests/test_eig.c tests/test_golden.c \
	tests/test_dynamics.c tests/test_run.c tests/test_toy.c tests/test_stats.c \
	tests/test_unstable.c tests/test_faults.c tests/test_cli.c \
	tests/test_ckpt.c tests/common.h tests/instances.h tests/extra.h \
	tests/plain.h tests/slopes.h tests/table.h tests/vectors.h \
	tests/faults.h
OUTSIDE = tests/outside.c tests/test_files.c tests/test_input.c tests/outside.h
SHARED = tests/program.h tests/logs.h tests/small.h eos.h .build

test: eos $(TESTS)
	sh tests/run.sh $(TESTS)

tests/inside: $(INSIDE) $(SHARED) eos.c
	$(CHECK) -o tests/inside tests/inside.c -lcriterion $(LIBS)

tests/outside: $(OUTSIDE) $(SHARED)
	$(CHECK) -o tests/outside tests/outside.c -lcriterion $(LIBS)

# What the static buffers take, the largest first.
size: eos
	@nm -S -t d --size-sort -r eos | awk '$$3 ~ /^[bBdD]$$/ { \
	    all += $$2; \
	    if ($$2 < 100000) { small += $$2; next } \
	    printf "%12d  %s\n", $$2, $$4 } \
	    END { printf "%12d  the smaller ones\n%12d  bytes in all\n", \
	        small, all }'

fuzz: always
	sh tests/fuzz.sh

clean:
	rm -f eos .build bench/bench $(TESTS)

install: eos
	mkdir -p $(DESTDIR)$(PREFIX)/bin
	cp eos $(DESTDIR)$(PREFIX)/bin/eos

always:

.PHONY: all run data bench reproduce figures results test size fuzz clean \
	install always
