#!/bin/sh
# data/fetch against a server on 127.0.0.1 that misbehaves as its path says.
# The archives are small and fake: six batches of ten random records each, and
# two files of random text.
# usage: tests/fetch.sh    (EOS_SH=bash to run data/fetch by another shell)
set -u
export LC_ALL=C # a decimal point is a point
unset http_proxy https_proxy all_proxy ALL_PROXY HTTPS_PROXY CIFAR10_URL \
    SST2_URL
export no_proxy='*' # nothing here is to leave this machine

python3 -c '' 2>/dev/null || { echo "skipped: no python3"; exit 0; }
root=$(cd "$(dirname "$0")/.." && pwd)
sh=${EOS_SH:-sh}
work=$(mktemp -d)
server=''
finish() {
    if [ "$server" ]; then kill "$server"; wait "$server"; fi 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM
export HOME="$work" # no settings of whoever runs this
export EOS_DATA="$work/data"

# ---- the fake archives, and what must come of them (by dd, not by head) ----

b=$work/src/cifar-10-batches-bin
mkdir -p "$b"
for f in data_batch_1 data_batch_2 data_batch_3 data_batch_4 data_batch_5 \
    test_batch; do
    dd if=/dev/urandom of="$b/$f.bin" bs=3073 count=10 2>/dev/null
done
echo airplane >"$b/batches.meta.txt"
tar -c -f - -C "$work/src" cifar-10-batches-bin | gzip >"$work/good.gz"
dd if="$b/data_batch_1.bin" bs=3073 count=5 of="$work/5k" 2>/dev/null
dd if="$b/data_batch_1.bin" bs=3073 count=4 of="$work/mixed" 2>/dev/null
dd if="$b/data_batch_2.bin" bs=3073 count=1 2>/dev/null >>"$work/mixed"
dd if="$b/test_batch.bin" bs=3073 count=1 of="$work/1k" 2>/dev/null
sum() {
    python3 -c 'import hashlib, sys
data = open(sys.argv[2], "rb").read()
print(hashlib.new(sys.argv[1], data).hexdigest())' "$@"
}
CIFAR10_MD5=$(sum md5 "$work/good.gz") CIFAR10_RECORDS=10
CIFAR10_SHA_5K=$(sum sha256 "$work/mixed") CIFAR10_SHA_1K=$(sum sha256 "$work/1k")
export CIFAR10_MD5 CIFAR10_RECORDS CIFAR10_SHA_5K CIFAR10_SHA_1K

mkdir "$work/SST-2"
for f in train dev test; do
    dd if=/dev/urandom bs=3000 count=30 2>/dev/null | od -An -tx1 \
        >"$work/SST-2/$f.tsv"
done
zip() { # TO FILE...: an archive as GLUE's, of some of the files
    (cd "$work" && python3 -m zipfile -c "$@")
}
zip good.zip SST-2
zip lacks.zip SST-2/train.tsv
SST2_SHA_TRAIN=$(sum sha256 "$work/SST-2/train.tsv")
SST2_SHA_DEV=$(sum sha256 "$work/SST-2/dev.tsv")
export SST2_SHA_TRAIN SST2_SHA_DEV

soon() { # CONDITION: true within three seconds
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
        if "$@"; then return; fi
        sleep 0.2
    done
    return 1
}

# ---- the server: ends by itself after 100 s, and with it every case ----

cat >"$work/server.py" <<'END'
import http.server, os, re, sys, threading
work = sys.argv[1]
archive = {}
for kind in ("gz", "zip"):
    archive[kind] = open(work + "/good." + kind, "rb").read()
log = open(work + "/log", "a", buffering=1)

class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def reply(self, status, body, extra={}, send=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name in extra:
            self.send_header(name, extra[name])
        self.end_headers()
        self.wfile.write(body if send is None else body[:send])
        self.wfile.flush()

    def do_GET(self):
        how = self.path.strip("/").split(".")[0]
        body = archive[self.path.split(".")[-1]]
        wish = self.headers.get("Range")
        log.write("%s %s\n" % (how, wish))
        if how == "bitflip":
            body = bytearray(body)
            body[len(body) // 2] ^= 1
        if how == "html":
            self.reply(200, b"<html>We are sorry.</html>\n" * 40)
        elif how not in ("ok", "bitflip", "truncate", "norange", "slow"):
            self.reply(404, b"<html>not found</html>")
        elif wish and how != "norange":
            start = int(re.match(r"bytes=(\d+)-$", wish).group(1))
            n = len(body)
            if start >= n:
                self.reply(416, b"", {"Content-Range": "bytes */%d" % n})
            else:
                span = "bytes %d-%d/%d" % (start, n - 1, n)
                self.reply(206, body[start:], {"Content-Range": span})
        elif how == "truncate":
            self.reply(200, body, send=len(body) // 2)
        elif how == "slow":
            self.reply(200, body, send=len(body) // 2)
            self.connection.recv(1)  # comes back when the client is gone
            log.write("slow ended\n")
        else:
            self.reply(200, body)

http.server.ThreadingHTTPServer.daemon_threads = True
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Timer(100, lambda: os._exit(1)).start()
open(work + "/port.new", "w").write(str(server.server_port))
os.rename(work + "/port.new", work + "/port")
server.serve_forever()
END
: >"$work/log"
python3 "$work/server.py" "$work" &
server=$!
soon test -f "$work/port" || { echo "FAILED server does not start"; exit 1; }
here=http://127.0.0.1:$(cat "$work/port")
at=$here

# ---- a PATH with chosen tools only ----

tools() { # FOLDER TOOL...
    folder=$work/$1
    mkdir "$folder"
    shift
    for t in "$@" sh cat cmp cut dirname gzip head mkdir mv od rm tar wc; do
        case $t in
        python3) found=$python ;;
        *) found=$(command -v "$t") ;;
        esac && ln -s "$found" "$folder/$t"
    done
}
python=$(python3 -c 'import sys; print(sys.executable)') # not a wrapper
tools curl curl python3 md5sum md5 sha256sum sha256 openssl
tools wget wget python3 md5sum md5 sha256sum sha256 openssl
tools none md5sum md5 sha256sum sha256 openssl
tools openssl curl wget openssl
tools nosum curl wget
for unzip in unzip bsdtar python3 busybox; do
    tools "by-$unzip" $unzip md5sum md5 sha256sum sha256 openssl
done
shell=$(command -v "$sh")

# ---- the cases: each is a chain of conditions, and its name ----

passes=0 failures=0 get=''
verdict() { # NAME, right after the chain
    if [ $? -eq 0 ]; then
        passes=$((passes + 1))
        echo "ok ${get:+$get, $archive: }$1"
    else
        failures=$((failures + 1))
        echo "FAILED ${get:+$get, $archive: }$1: status $status," \
            "$(cat "$work/err")"
    fi
}
about() { # ARCHIVE: whose turn it is; what comes of the other one is there
    archive=$1 good=$work/good.${1##*.} part=$EOS_DATA/$1.part
    case $1 in
    *.gz) bad="MD5 is not" ;;
    *.zip) bad="SHA-256" ;;
    esac
    size=$(($(wc -c <"$good")))
    half=$((size / 2))
}
fresh() {
    empty
    case $archive in
    *.gz) put_sentences ;;
    *.zip) put_images ;;
    esac
}
empty() { rm -rf "$EOS_DATA"; mkdir "$EOS_DATA"; : >"$work/log"; }
put_sentences() {
    cp "$work/SST-2/train.tsv" "$EOS_DATA/sst2-train.tsv"
    cp "$work/SST-2/dev.tsv" "$EOS_DATA/sst2-dev.tsv"
}
put_images() {
    cp -R "$b" "$EOS_DATA"
    cp "$work/5k" "$EOS_DATA/cifar10-5k.bin"
    cp "$work/mixed" "$EOS_DATA/cifar10-5k-mixed.bin"
    cp "$work/1k" "$EOS_DATA/cifar10-test1k.bin"
}
start() { # HOW
    SST2_URL=$at/$1.zip PATH=$work/${box:-$get} exec "$shell" \
        "$root/data/fetch" "$at/$1.tar.gz" >"$work/out" 2>"$work/err"
}
fetch() { # HOW: its status in $status
    (start "$1")
    status=$?
}
interrupted() { # HOW: the same, killed once a piece of the archive is there
    start "$1" &
    run=$!
    soon test -s "$part"
    kill $run
    wait $run
    status=$?
}
whole() {
    [ $status -eq 0 ] && [ ! -s "$work/err" ] && tidy &&
        cmp "$work/5k" "$EOS_DATA/cifar10-5k.bin" &&
        cmp "$work/mixed" "$EOS_DATA/cifar10-5k-mixed.bin" &&
        cmp "$work/1k" "$EOS_DATA/cifar10-test1k.bin" &&
        cmp "$work/SST-2/train.tsv" "$EOS_DATA/sst2-train.tsv" &&
        cmp "$work/SST-2/dev.tsv" "$EOS_DATA/sst2-dev.tsv" &&
        cmp "$good" "$EOS_DATA/$archive" &&
        diff -r "$b" "$EOS_DATA/cifar-10-batches-bin" &&
        no_part
}
tidy() { # no temporary folder is left
    for f in "$EOS_DATA"/.fetch.*; do [ ! -e "$f" ] || return 1; done
}
refused() { # WORDS: status 1, one line with them, nothing under a final name
    [ "$status" -eq 1 ] && said "$1" && nothing
}
failed() { # WORDS: the same; busybox wget has but one status for all failures
    if [ $busybox ]; then refused "broke off"; else refused "$1"; fi
}
said() { # WORDS: one line, FILE: what is wrong; what to do
    [ "$(wc -l <"$work/err")" -eq 1 ] && grep -F "$1" "$work/err" >/dev/null &&
        case $(cat "$work/err") in "data/fetch: "*": "*\;*) ;; *) false ;; esac
}
nothing() { # of what comes of the archive
    tidy && for f in "$EOS_DATA"/*; do
        case $archive,$f in
        *.part | *'*' | *.gz,*/sst2-*.tsv | *.zip,*/cifar*) ;;
        *) return 1 ;;
        esac
    done
}
no_part() { [ ! -e "$part" ]; }
part_is() { # BYTES
    [ -f "$part" ] && [ "$(wc -c <"$part")" -eq "$1" ]
}
make_part() { cat >"$part"; }
asked() { [ "$(cat "$work/log")" = "$1" ]; }

downloads() { # of $archive by the downloader $get
    fresh; fetch ok
    whole && asked "ok None"
    verdict "good download; the files byte for byte"
    fetch ok
    whole && asked "ok None" && grep everything "$work/out" >/dev/null
    verdict "second run asks the server for nothing"

    fresh; fetch truncate
    refused "broke off" && part_is $half
    verdict "truncated download keeps its piece"
    : >"$work/log"; fetch ok
    whole && asked "ok bytes=$half-"
    verdict "and is resumed from there"

    fresh; interrupted slow
    [ $status -eq 143 ] && said interrupted && nothing && [ -s "$part" ] &&
        soon grep -q "slow ended" "$work/log"
    verdict "killed in mid-download: piece kept, no downloader left behind"
    fetch ok
    whole
    verdict "and is resumed after that"

    fresh; make_part <"$good"; fetch ok
    whole && asked ""
    verdict "whole .part needs no server"
    fresh
    { head -c $half "$good"; printf damaged; tail -c +$((half + 8)) "$good"; } |
        make_part
    fetch ok
    if [ $busybox ]; then refused "or remove it"
    else refused "removed" && no_part; fi && asked "ok bytes=$size-"
    verdict "damaged .part of full length (416) refused"
    fresh; head -c $half "$good" | make_part; fetch norange
    whole
    verdict "server without ranges: from the start"

    fresh; fetch bitflip
    refused "$bad" && no_part
    verdict "flipped bit refused"
    fresh; head -c $((half - 9)) "$good" | make_part; fetch bitflip
    refused "$bad" && no_part
    verdict "flipped bit in a resumed file refused"
    fresh; fetch html
    refused "web page" && no_part
    verdict "HTML page refused"
    fresh; fetch gone
    failed "server refuses" && no_part
    verdict "404 refused"
    fresh; at=http://127.0.0.1:1; fetch ok; at=$here
    refused "broke off" && no_part
    verdict "no server refused"
    # Stands in for a full disk: no file may pass 50 KiB.
    fresh
    status=$(trap '' XFSZ; ulimit -f 100; fetch ok; echo $status)
    failed "cannot write"
    verdict "full disk refused"
}

for get in curl wget; do
    busybox=''
    case $("$get" --help 2>&1) in BusyBox*) busybox=yes ;; esac
    if [ -e "$work/$get/$get" ]; then
        about SST-2.zip
        downloads
        about cifar-10-binary.tar.gz
        downloads
    else echo "no $get on this machine: its cases are left out"; fi
done

# ---- the cases that do not depend on the downloader ----

get='' box=none
fresh; fetch ok
refused "no curl and no wget" && asked "" && no_part
verdict "neither curl nor wget: said in one line"
box=nosum; fetch ok
refused "no md5sum" && asked ""
verdict "no checksum tool: said in one line"

box=none
fresh; cp "$good" "$EOS_DATA/cifar-10-binary.tar.gz"; fetch ok
whole && asked ""
verdict "archive put there by hand needs no downloader"
echo damaged >"$EOS_DATA/cifar10-5k-mixed.bin"
rm "$EOS_DATA/cifar10-test1k.bin"
fetch ok
whole && asked ""
verdict "damaged and missing cut files are cut again"
cp "$work/mixed" "$EOS_DATA/cifar10-5k.bin"; fetch ok
whole && asked ""
verdict "the mixed images under the canonical name, as once, are replaced"
rm "$EOS_DATA/cifar-10-binary.tar.gz"; fetch ok
[ $status -eq 0 ] && grep everything "$work/out" >/dev/null
verdict "archive may go once all is there"
printf x >>"$EOS_DATA/cifar-10-batches-bin/data_batch_4.bin"; fetch ok
[ $status -eq 1 ] && said "data_batch_4.bin has 30731 bytes, not 30730"
verdict "batch of a wrong size refused"
fresh; echo mine >"$EOS_DATA/cifar-10-binary.tar.gz"; fetch ok
[ $status -eq 1 ] && said "MD5 is not" && tidy &&
    [ "$(cat "$EOS_DATA/cifar-10-binary.tar.gz")" = mine ]
verdict "wrong archive put there by hand refused, and left alone"

real_5k=$CIFAR10_SHA_5K
fresh; cp "$good" "$EOS_DATA/cifar-10-binary.tar.gz"
CIFAR10_SHA_5K=$CIFAR10_SHA_1K; fetch ok; CIFAR10_SHA_5K=$real_5k
[ $status -eq 1 ] && said "cifar10-5k-mixed.bin: its SHA-256 would not be" &&
    tidy && [ ! -e "$EOS_DATA/cifar10-5k-mixed.bin" ]
verdict "wrong SHA-256 of a cut file refused"
fresh; cp "$good" "$EOS_DATA/cifar-10-binary.tar.gz"
CIFAR10_RECORDS=20; fetch ok; CIFAR10_RECORDS=10
[ $status -eq 1 ] && said "data_batch_1.bin has 30730 bytes, not 61460" &&
    tidy && [ ! -e "$EOS_DATA/cifar-10-batches-bin" ]
verdict "archive with batches of a wrong size refused"

if [ -e "$work/openssl/openssl" ]; then
    box=openssl; fresh; cp "$good" "$EOS_DATA/cifar-10-binary.tar.gz"
    fetch ok
    whole
    verdict "checksums by openssl"
else echo "no openssl on this machine: its case is left out"; fi

# ---- the same for the sentences ----

about SST-2.zip
for unzip in unzip bsdtar python3 busybox; do
    box=by-$unzip
    if [ -e "$work/$box/$unzip" ]; then
        fresh; cp "$good" "$EOS_DATA/SST-2.zip"; fetch ok
        whole && asked ""
        verdict "archive put there by hand, unpacked by $unzip"
    else echo "no $unzip on this machine: its case is left out"; fi
done
box=none
fresh; fetch ok
refused "no unzip, bsdtar, python3 or busybox" && asked "" && no_part
verdict "nothing that unpacks it: said in one line, before it is asked for"

box=by-python3
fresh; cp "$good" "$EOS_DATA/SST-2.zip"; put_sentences
rm "$EOS_DATA/sst2-dev.tsv"; fetch ok
whole && asked ""
verdict "a missing file of sentences comes from the archive"
fresh; put_sentences; echo >>"$EOS_DATA/sst2-dev.tsv"
cp "$EOS_DATA/sst2-dev.tsv" "$work/mine"; fetch ok
[ $status -eq 1 ] && said "sst2-dev.tsv: SHA-256 is not $SST2_SHA_DEV" &&
    tidy && cmp "$work/mine" "$EOS_DATA/sst2-dev.tsv"
verdict "wrong file of sentences refused, and left alone"
for wrong in lacks.zip good.gz; do
    fresh; cp "$work/$wrong" "$EOS_DATA/SST-2.zip"; fetch ok
    [ $status -eq 1 ] && said "SHA-256" && tidy && asked "" &&
        cmp "$work/$wrong" "$EOS_DATA/SST-2.zip" &&
        [ ! -e "$EOS_DATA/sst2-train.tsv" ]
    verdict "wrong archive ($wrong) put there by hand refused, and left alone"
done
box=curl
if [ -e "$work/curl/curl" ]; then
    empty; fetch ok
    whole && cmp "$work/good.gz" "$EOS_DATA/cifar-10-binary.tar.gz" &&
        asked "ok None
ok None"
    verdict "both archives in one run"
fi

# The folder comes from where the script is, and -d deletes the archive.
mkdir -p "$work/else where/data"
cp "$root/data/fetch" "$work/else where/data"
cp "$work/good.gz" "$work/else where/data/cifar-10-binary.tar.gz"
cp "$work/good.zip" "$work/else where/data/SST-2.zip"
(unset EOS_DATA; cd / && "$work/else where/data/fetch" -d) \
    >"$work/out" 2>"$work/err"
status=$?
[ $status -eq 0 ] && cmp "$work/5k" "$work/else where/data/cifar10-5k.bin" &&
    cmp "$work/SST-2/dev.tsv" "$work/else where/data/sst2-dev.tsv" &&
    [ ! -e "$work/else where/data/cifar-10-binary.tar.gz" ] &&
    [ ! -e "$work/else where/data/SST-2.zip" ]
verdict "fills its own folder from anywhere; -d deletes the archives"
"$shell" "$root/data/fetch" -h >"$work/out" 2>"$work/err"
status=$?
[ $status -eq 0 ] && [ ! -s "$work/err" ] && grep usage "$work/out" >/dev/null
verdict "-h prints the usage"

echo "$passes passed, $failures failed"
[ $failures -eq 0 ]
