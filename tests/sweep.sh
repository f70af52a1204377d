#!/bin/sh
# bench/sweep with GNU parallel here and with Slurm "there": a node of its own
# on loopback, started and stopped by this test.  Jobs are killed midway; the
# same sweep again has to end with the rows of runs that nothing stopped.
set -eu
export LC_ALL=C # a decimal point is a point
cd "$(dirname "$0")/.."
tmp=$(mktemp -d)

tidy() { # the daemons and jobs of this test, by their process ids
    for pid in "$tmp"/*.pid; do
        [ ! -s "$pid" ] || kill "$(cat "$pid")" 2>/dev/null || :
    done
    [ ! "${background:-}" ] || kill "$background" 2>/dev/null || :
    sleep 1
    rm -rf "$tmp"
}
trap tidy EXIT
trap 'exit 1' HUP INT TERM

die() {
    echo "tests/sweep.sh: $1" >&2
    exit 1
}

await() { # SECONDS COMMAND...: until it succeeds
    left=$(($1 * 5))
    shift
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        [ $left -gt 0 ] || return 1
        sleep 0.2
    done
}

# Two settings of eight built-in images.  The program that the sweep starts
# tells its process id, so that the test can kill it.
[ -x eos ] || die "eos: not there; make it first"
cat >"$tmp/eos" <<END
#!/bin/sh
echo \$\$ >"$tmp/killed"
exec "$PWD/eos" "\$@"
END
chmod +x "$tmp/eos"
export EOS="$tmp/eos"
sweep() { # FOLDER HOW...
    folder=$1
    shift
    bench/sweep --models cnn --losses bmse --rates 0.05 --seeds '1 2' \
        --logs "$tmp/$folder" "$@" -- --samples 8 --tol 1e-2 --proj 1 \
        --stop-lambda2 inf --kick 0.01 --max-steps 200 --steps 24 --every 2
}
first=cnn-bmse-0.05-1 second=cnn-bmse-0.05-2

midway() { # FOLDER: some log has rows of the track, and there is a checkpoint
    for log in "$tmp/$1"/*.log; do
        [ -f "${log%.log}.ckpt" ] || continue
        rows=$(awk '/^# columns:/ { n++ } n == 2 && !/^#/ && NF' "$log" | wc -l)
        [ "$rows" -lt 4 ] || return 0
    done
    return 1
}

resumed() { # FOLDER: both started afresh, and then again, but not afresh
    cat "$tmp/$1"/cnn-*.out >"$tmp/out"
    starts=$(grep -c 'of memory' "$tmp/out") || :
    fresh=$(grep -c 'starting afresh' "$tmp/out") || :
    if [ "$fresh" -lt 2 ] || [ "$starts" -le "$fresh" ]; then
        die "$1: nothing was resumed"
    fi
}

same() { # FOLDER: all is done, and its rows are those of the first run
    for log in $first $second; do
        for folder in whole "$1"; do
            grep -v '^#' "$tmp/$folder/$log.log" >"$tmp/$folder.rows"
        done
        cmp "$tmp/whole.rows" "$tmp/$1.rows" || die "$1: $log: other rows"
    done
    [ -z "$(sweep "$1")" ] || die "$1: not everything is done"
}

echo "== one command a setting, as it is printed"
mkdir "$tmp/whole"
[ "$(sweep whole | wc -l)" = 2 ] || die "not two commands"
sweep whole >"$tmp/commands"
sh "$tmp/commands" || : # 3, no instability, is a result
same whole

echo "== GNU parallel: a job is killed, the same sweep goes on"
sweep parallel --run --jobs 1 >"$tmp/run.out" 2>&1 &
background=$!
await 60 midway parallel || die "parallel: no rows"
kill -9 "$(cat "$tmp/killed")"
if wait $background; then die "parallel: a killed job is no failure"; fi
background=
grep -q 'exit status' "$tmp/run.out" || die "parallel: the failure is not told"
sweep parallel --run >"$tmp/run.out" || die "parallel: $(cat "$tmp/run.out")"
resumed parallel
same parallel

echo "== Slurm on loopback: an array is cancelled, the same sweep goes on"
host=$(hostname -s) slurm=$tmp/daemons
mkdir -p "$slurm/state" "$slurm/spool"
chmod 755 "$tmp" # munge insists on the folders above its socket
(umask 077 && head -c 1024 /dev/urandom >"$slurm/key")
export SLURM_CONF="$slurm/slurm.conf"
cat >"$SLURM_CONF" <<END
ClusterName=eos
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=26817
SlurmdPort=26818
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$slurm/munge
StateSaveLocation=$slurm/state
SlurmdSpoolDir=$slurm/spool
SlurmctldPidFile=$tmp/slurmctld.pid
SlurmdPidFile=$tmp/slurmd.pid
SlurmctldLogFile=$slurm/slurmctld.log
SlurmdLogFile=$slurm/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/linear
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,batch_sched_delay=0
ReturnToService=2
KillWait=5
NodeName=$host NodeAddr=127.0.0.1 CPUs=1
PartitionName=all Nodes=ALL Default=YES MaxTime=10
END
munged --force --key-file="$slurm/key" --socket="$slurm/munge" \
    --pid-file="$tmp/munged.pid" --seed-file="$slurm/seed" \
    --log-file="$slurm/munge.log"
slurmctld
slurmd
idle() { sinfo --noheader --format=%t | grep -qx idle; }
await 20 idle || die "Slurm: $(tail -n 3 "$slurm"/*.log)"
empty() { [ -z "$(squeue --noheader)" ]; }
job=$(sweep slurm --sbatch)
await 60 midway slurm || die "Slurm: no rows; $(cat "$tmp"/slurm/*.out)"
scancel "$job"
await 30 empty || die "Slurm: $(squeue)"
[ "$(sweep slurm | wc -l)" -gt 0 ] || die "Slurm: was not stopped midway"
sweep slurm --sbatch >/dev/null
await 90 empty || die "Slurm: $(squeue)"
resumed slurm
same slurm

echo "== the table"
bench/collect "$tmp"/slurm/*.log >"$tmp/table"
for row in 'cnn | bmse | 0.05' 'plain' '[^|]* | – | `eos run'; do
    rows=$(grep -c "^| cnn-bmse-0.05-[12] | $row" "$tmp/table") || :
    [ "$rows" = 2 ] || die "bench/collect: $row: $(cat "$tmp/table")"
done
# One log after the other, the first one again: a row each, in order; also of
# the table that ends the file.
for name in means swings ways commands; do
    printf '\n<!-- %s -->\n' $name >>"$tmp/into"
done
for log in 2 1 2; do
    bench/collect --into "$tmp/into" "$tmp/slurm/cnn-bmse-0.05-$log.log"
done
grep '^|' "$tmp/into" >"$tmp/rows"
grep '^|' "$tmp/table" | cmp - "$tmp/rows" ||
    die "bench/collect --into: $(cat "$tmp/into")"
# A name that awk would take for an assignment.
cp "$tmp/slurm/cnn-bmse-0.05-1.log" "$tmp/a=1.log"
PATH=$PWD/bench:$PATH
(cd "$tmp" && collect a=1.log) | grep -q '^| a=1 | cnn ' ||
    die "bench/collect: a=1.log: no row"
echo "sweeps: all as it should be"
