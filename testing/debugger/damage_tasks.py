# SPDX-License-Identifier: Apache-2.0
"""Damages the memory of a stopped process in one way after the other, and prints what `tandem tasks` then says.

For gdb, behind tools/gdb_tasks.py, whose names it uses; gdb_tasks_test runs it.
"""

import random
import struct

import gdb

# An address where nothing is.
NOWHERE = 0x10
# Damages of words that were drawn, beside those that are listed.
DRAWN = 100


class Changed:
    """Gives words of the process other values for a while."""

    def __init__(self, changes):
        self._changes = changes
        self._before = {}

    def __enter__(self):
        inferior = gdb.selected_inferior()
        for address, value in self._changes.items():
            self._before[address] = bytes(inferior.read_memory(address, 8))
            inferior.write_memory(address, struct.pack("<Q", value))

    def __exit__(self, *exception):
        for address, data in self._before.items():
            gdb.selected_inferior().write_memory(address, data)


def said(command):
    try:
        return gdb.execute(command, to_string=True)
    except gdb.error as error:
        return "error: %s\n" % error


def damage(name, changes, command="tandem tasks"):
    with Changed(changes):
        text = said(command)
    print("--- %s\n%s--- end" % (name, text), flush=True)


process = Process()
layout = process.layout
executor = next(process.executors())
tasks = [task for _, task in executor.tasks()]
root = int(gdb.parse_and_eval("(unsigned long)&'%s'" % ROOT))


def next_link(number):
    """Where task `number` keeps the address of the next one."""
    return tasks[number - 1].address + layout["RootPromise.link"] + layout["ListLink.next"]


def previous_link(number):
    return tasks[number - 1].address + layout["RootPromise.link"] + layout["ListLink.previous"]


def field(name):
    """Where the program says where `name` is."""
    for address in range(root + 24, root + 24 + 32 * 16, 16):
        if process.memory.name(process.memory.pointer(address)) == name:
            return address + 8
    raise KeyError(name)


damage("nothing", {})
damage("a link to nowhere", {next_link(10): NOWHERE})
damage("a link of zero", {next_link(10): 0})
damage("a link to something else", {next_link(10): executor.address})
damage("a circle", {next_link(10): tasks[2].address + layout["RootPromise.link"]})
damage("two broken links", {next_link(10): NOWHERE, previous_link(15): NOWHERE})
damage("two broken links, one task", {next_link(10): NOWHERE, previous_link(15): NOWHERE}, "tandem task 12")
head = executor.address + layout["Executor.tasks"]
damage("no list", {head + layout["ListLink.next"]: NOWHERE, head + layout["ListLink.previous"]: NOWHERE})
damage("a lost coroutine", {tasks[9].address + layout["PromiseBase.child"]: NOWHERE})
damage("a coroutine of another task", {tasks[9].address + layout["PromiseBase.child"]: tasks[10].frames[1].promise})
damage("a coroutine that says so", {tasks[9].frames[1].promise + layout["PromiseBase.task"]: tasks[10].context})
damage("a place nowhere", {tasks[9].frames[1].promise + layout["PromiseBase.await_location"]: NOWHERE})
damage("a call nowhere", {tasks[9].frames[-1].promise + layout["PromiseBase.leaf"]: NOWHERE})
damage("a call of no class", {tasks[9].frames[-1].leaf: executor.address})
damage("a wrong number of tasks", {executor.address + layout["Executor.task_count"]: 1 << 60})
damage("a running task that is none", {executor.address + layout["Executor.running"]: executor.address})
damage("no name", {executor.address + layout["Executor.name"]: NOWHERE})
damage("an executor that is none", {executor.address + layout["Executor.next"]: tasks[0].address})
damage("no executor", {root + 8: 0})
damage("executors nowhere", {root + 8: NOWHERE})
damage("a wrong source", {root: process.memory.pointer(root + 24)})
damage("a wrong number", {field("Executor.tasks"): 1 << 16})
damage("a number at the end", {field("Executor.running"): layout["Executor.size"]})
damage("a huge number", {field("Executor.size"): 1 << 60})
damage("a field without its name", {field("PromiseBase.leaf") - 8: process.memory.pointer(root)})

# Whatever has been overwritten, with whatever: the commands come to an end, and no exception of Python's ends them.
words = [root + 8 * i for i in range(8 + 2 * 28)]
words += range(executor.address, executor.address + layout["Executor.size"], 8)
for task in tasks[:3] + tasks[-6:]:
    words += range(task.address, task.address + layout["RootPromise.size"], 8)
    for frame in task.frames[1:4]:
        words += range(frame.promise, frame.promise + layout["PromiseBase.size"], 8)
        if frame.leaf:
            words.append(frame.leaf)
numbers = random.Random(1)
values = [0, 1, 0x4141414141414141, (1 << 64) - 1]
for i in range(DRAWN):
    changes = {}
    for _ in range(numbers.choice((1, 1, 2, 5))):
        changes[numbers.choice(words)] = numbers.choice([*values, numbers.choice(words)])
    with Changed(changes):
        for command in ("tandem tasks", "tandem task 2", "tandem task %d" % len(tasks)):
            text = said(command)
            if "Python" in text or "Traceback" in text:
                print("--- drawn %d: %s\n%s--- end" % (i, changes, text))
print("%d damages were drawn" % DRAWN)
damage("nothing again", {})
