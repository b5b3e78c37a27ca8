#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The same seed gives the same digest, whatever ran before it and wherever it runs.

Runs the simulation of the key-value server, whose program is portable: its digests must not depend on addresses either.
hash_order_program depends on them on purpose: its digests must stay the same as long as the addresses are fixed.
"""

import concurrent.futures
import os
import resource
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.environ["TEST_SRCDIR"], os.environ["TEST_WORKSPACE"], "testing", "determinism"))
import sim_program

# How many seeds are compared. TANDEM_SEEDS may ask for fewer, for slow builds.
SEEDS = max(4, min(20, int(os.environ.get("TANDEM_SEEDS") or 20)))
# They are the last ones of a run that is this long: 121 to 200.
RUN = SEEDS * 5 // 2
COMPARED = range(RUN - SEEDS + 1, RUN + 1)

KV = sim_program.Program("examples/kv/kv_sim_test")
UDP = sim_program.Program("sim/world/tests/udp_sim_test")
HASH_ORDER = sim_program.Program("testing/determinism/hash_order_program")

BIG_ENVIRONMENT = {
    "PATH": "/nowhere:" * 100, "HOME": "/home/someone", "LANG": "tr_TR.UTF-8", "LC_ALL": "de_DE.UTF-8",
    "TZ": "Asia/Kathmandu", "TANDEM_SEED": "77", "TEST_TMPDIR": "/tmp", "RANDOM": "4",
    **{"VARIABLE_%d" % i: "x" * (i * 37 % 500) for i in range(200)},
}


def alone(program, seed):
    return program.run("--seed=%d" % seed, "--print_digest")


def in_parallel(function, items):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(function, items))


def small_stack():
    resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, resource.getrlimit(resource.RLIMIT_STACK)[1]))


class KvDigests(unittest.TestCase):
    """Each test runs the compared seeds in another way; the reference is each of them late in a long run."""

    @classmethod
    def setUpClass(cls):
        cls.reference = KV.run("--seeds=%d" % RUN, "--print_digest")
        print("%d seeds compared" % SEEDS, flush=True)

    def setUp(self):
        self.assertEqual(self.reference.exit_code, 0, self.reference.output[-5000:])
        self.assertEqual(self.reference.seeds, list(range(1, RUN + 1)))

    def check(self, runs):
        """Compares every compared seed, each of which is in one of `runs`."""
        seen = {}
        for run in runs:
            self.assertEqual(run.exit_code, 0, run.output[-5000:])
            seen.update(run.digests)
        self.assertEqual(seen, {seed: self.reference.digests[seed] for seed in COMPARED})

    def run_in_parts(self, parts, *flags, **how):
        """Runs the compared seeds in `parts` processes."""
        bounds = [COMPARED.start + SEEDS * part // parts for part in range(parts + 1)]
        return [KV.run("--seed_start=%d" % first, "--seeds=%d" % (end - first), "--print_digest", *flags, **how)
                for first, end in zip(bounds, bounds[1:])]

    def test_every_seed_has_a_digest_of_its_own(self):
        self.assertEqual(len(set(self.reference.digests.values())), RUN)

    def test_alone_as_after_a_hundred_others(self):
        self.check(in_parallel(lambda seed: alone(KV, seed), COMPARED))

    def test_with_randomised_addresses(self):
        runs = self.run_in_parts(8, "--aslr", env=dict(sim_program.PLAIN_ENVIRONMENT, TANDEM_ASLR="1"))
        self.assertFalse(any(run.fixed_addresses for run in runs))
        self.check(runs)

    def test_with_a_big_environment_in_a_deep_folder_under_a_long_name(self):
        with tempfile.TemporaryDirectory() as folder:
            deep = os.path.join(folder, *["a-folder-with-a-long-name"] * 20)
            os.makedirs(deep)
            self.check(self.run_in_parts(2, env=BIG_ENVIRONMENT, cwd=deep, argv0="n" * 3000, before_exec=small_stack))

    def test_without_an_environment_in_the_root_under_a_short_name(self):
        self.check(self.run_in_parts(2, env={}, cwd="/", argv0="k"))

    def test_with_any_number_of_jobs(self):
        half = SEEDS // 2
        self.check([KV.run("--seed_start=%d" % COMPARED.start, "--seeds=%d" % half, "--print_digest", "--jobs=1"),
                    KV.run("--seed_start=%d" % (COMPARED.start + half), "--seeds=%d" % (SEEDS - half), "--print_digest",
                           "--jobs=7")])

    def test_shards_run_each_seed_once(self):
        shards, count = 4, 5 * SEEDS
        with tempfile.TemporaryDirectory() as folder:
            runs = []
            for shard in range(shards):
                status_file = os.path.join(folder, str(shard))
                names = {"SHARD_INDEX": str(shard), "TOTAL_SHARDS": str(shards), "SHARD_STATUS_FILE": status_file}
                env = dict(sim_program.PLAIN_ENVIRONMENT)
                for name, value in names.items():  # As Bazel sets them.
                    env["TEST_" + name] = env["GTEST_" + name] = value
                runs.append(KV.run("--seeds=%d" % count, "--print_digest", env=env))
                self.assertEqual(runs[-1].exit_code, 0, runs[-1].output[-5000:])
                self.assertTrue(os.path.exists(status_file))

        self.assertEqual(sorted(seed for run in runs for seed in run.seeds), list(range(1, count + 1)))
        digests = {seed: digest for run in runs for seed, digest in run.digests.items()}
        self.assertEqual(len(set(digests.values())), count)
        self.assertEqual({seed: digests[seed] for seed in range(1, RUN + 1)}, self.reference.digests)


class UdpDigests(unittest.TestCase):
    """Datagrams, lookups of names and blocking work, which the key-value server does without."""

    def test_depend_on_the_seed_alone(self):
        reference = UDP.run("--seeds=%d" % SEEDS, "--print_digest")
        self.assertEqual(reference.exit_code, 0, reference.output[-5000:])
        self.assertEqual(len(set(reference.digests.values())), SEEDS)
        elsewhere = UDP.run("--seeds=%d" % SEEDS, "--print_digest", "--aslr", "--jobs=7",
                            env=dict(BIG_ENVIRONMENT, TANDEM_ASLR="1"), argv0="n" * 3000)
        self.assertEqual(elsewhere.digests, reference.digests)
        for seed in (1, SEEDS // 2, SEEDS):
            self.assertEqual(alone(UDP, seed).digests, {seed: reference.digests[seed]})


class HashOrderDigests(unittest.TestCase):
    """A program that is not portable: it does things in the order of a hash table."""

    def setUp(self):
        self.run_of_500 = HASH_ORDER.run("--seeds=500", "--print_digest")
        self.assertEqual(self.run_of_500.exit_code, 0, self.run_of_500.output[-5000:])
        if not self.run_of_500.fixed_addresses:
            self.skipTest("this machine does not let a process turn address randomisation off")

    def test_alone_as_the_500th(self):
        for seed in (500, 499, 250, 1):
            self.assertEqual(alone(HASH_ORDER, seed).digests, {seed: self.run_of_500.digests[seed]})

    def test_wherever_it_runs(self):
        expected = {500: self.run_of_500.digests[500]}
        with tempfile.TemporaryDirectory() as folder:
            for how in (dict(env=BIG_ENVIRONMENT), dict(env={}), dict(cwd=folder), dict(argv0="n" * 3000),
                        dict(before_exec=small_stack)):
                self.assertEqual(HASH_ORDER.run("--seed=500", "--print_digest", **how).digests, expected, how.keys())

    def test_depends_on_addresses(self):
        # Otherwise the other tests show nothing.
        runs = [HASH_ORDER.run("--seed=500", "--print_digest", "--aslr") for _ in range(8)]
        self.assertGreater(len({run.digests[500] for run in runs}), 1)


if __name__ == "__main__":
    sim_program.main()
