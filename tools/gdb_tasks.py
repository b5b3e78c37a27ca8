# SPDX-License-Identifier: Apache-2.0
"""Commands for gdb that list the tasks of a process: of a core, or of a process that gdb has stopped.

  gdb -x tools/gdb_tasks.py -ex 'tandem tasks' SERVER CORE

It reads memory only and calls nothing in the process. It needs no debug information: the program says itself where
things are (core/async/debugger_data.h), and each await has its file and line. What it needs is the program's symbols.

What a core says cannot be trusted. So each pointer is followed only after what is behind it has pointed back, and
where that ends, the listing says so and goes on with what is left.
"""

import re
import struct

import gdb

ROOT = "tandem::internal::debugger_data"
# Longer ones are no names of files, functions or hosts.
NAME_BYTES_MAX = 16384
# No object of those that are read is larger, and no limit in them. gdb ends itself when it is to read too much at once.
SIZE_MAX = 1 << 20
# In a listing, as in the reports of the program itself (core/async/await_stack.cc).
PLACES_MAX = 64


class Damaged(Exception):
    """What was read cannot be what it should be."""


class Memory:
    """The memory of the process."""

    def __init__(self):
        self._inferior = gdb.selected_inferior()
        self._names = {}

    def read(self, address, size):
        address %= 1 << 64
        try:
            return self._inferior.read_memory(address, size)
        except gdb.error as error:
            raise Damaged("memory at 0x%x cannot be read" % address) from error

    def pointer(self, address):
        return struct.unpack("<Q", self.read(address, 8))[0]

    def name(self, address):
        """Returns the string that ends with a zero byte."""
        if address not in self._names:
            data = b""
            while b"\0" not in data:
                if len(data) >= NAME_BYTES_MAX:
                    raise Damaged("the string at 0x%x has no end" % address)
                # Up to the end of a block: what is behind it need not be there.
                at = address + len(data)
                data += bytes(self.read(at, 256 - at % 256))
            self._names[address] = data[:data.index(b"\0")].decode("utf-8", "replace")
        return self._names[address]


class Layout:
    """Where things are, as the program says."""

    def __init__(self, memory):
        try:
            root = int(gdb.parse_and_eval("(unsigned long)&'%s'" % ROOT))
        except gdb.error as error:
            raise gdb.GdbError(
                "%s is not there: this is no program with Tandem, it was built with an older one, or its symbols were "
                "stripped. Start gdb as: gdb PROGRAM CORE" % ROOT) from error
        try:
            self.source_file = memory.name(memory.pointer(root))
            self.oldest = memory.pointer(root + 8)
            self._values = {}
            for field in range(root + 24, root + 24 + 32 * 16, 16):
                name = memory.pointer(field)
                if name == 0:
                    break
                self._values[memory.name(name)] = memory.pointer(field + 8)
        except Damaged as error:
            raise gdb.GdbError(
                "%s cannot be used: %s. The core belongs to another program than this, or is cut; or the program has "
                "not come to its main() yet." % (ROOT, error)) from error
        if not self.source_file.endswith("core/async/debugger_data.cc") or not all(map(self._is_sound, self._values)):
            raise gdb.GdbError("%s is damaged, or the core belongs to another program than this." % ROOT)

    def _is_sound(self, name):
        """Says whether the value is within the object that it belongs to."""
        size = self._values.get(name.partition(".")[0] + ".size", SIZE_MAX)
        if name.startswith("Executor.k"):  # A number.
            size = SIZE_MAX
        return self._values[name] <= min(size, SIZE_MAX)

    def __getitem__(self, name):
        try:
            return self._values[name]
        except KeyError:
            raise gdb.GdbError("The program does not say what %s is: it was built with another version of Tandem than "
                               "this script." % name) from None


# --- Names, as the program writes them (core/async/await_stack.cc) ----------------------------------------------------


def without_working_folder(file):
    return file.removeprefix("/proc/self/cwd/").removeprefix("./")


class Place:
    """Where a coroutine awaits."""

    def __init__(self, file, line, column, function):
        self.key = (file, line, column)
        self.text = "%s:%d in %s" % (file, line, function)


class Places:
    """All places, by where their std::source_location points to."""

    def __init__(self, memory, layout):
        self._memory = memory
        self._own_folder = without_working_folder(layout.source_file).removesuffix("core/async/debugger_data.cc")
        self._places = {}

    def project_path(self, file):
        _, virtual, rest = file.partition("/_virtual_includes/")
        if virtual:
            file = rest.partition("/")[2] or rest
            if not self._own_folder:
                file = file.removeprefix("tandem/")
        return without_working_folder(file)

    def at(self, address):
        if address not in self._places:
            file, function, line, column = struct.unpack("<QQII", self._memory.read(address, 24))
            function = self._memory.name(function)
            if function.endswith(".Frame*)"):  # Of g++.
                function = function.partition("(")[0]
            self._places[address] = Place(self.project_path(self._memory.name(file)), line, column, function)
        return self._places[address]


def await_stack(places):
    """Returns the lines of a listing for these places, innermost first."""
    lines = []
    shown, more = 0, 0
    last = None
    for place in places:
        if shown == PLACES_MAX or place.key == last:
            more += 1
            continue
        if more:
            lines.append("    ... and %d times more" % more)
            more = 0
        lines.append("    at " + place.text)
        shown, last = shown + 1, place.key
    if more:
        lines.append("    ... and %d%s more" % (more, "" if shown == PLACES_MAX else " times"))
    return lines


# --- Tasks ------------------------------------------------------------------------------------------------------------


class Frame:
    """One coroutine of a task."""

    __slots__ = ("promise", "handle", "child", "leaf", "place")

    def __init__(self, promise, self_handle, child, leaf, place):
        self.promise = promise
        self.handle = self_handle
        self.child = child
        self.leaf = leaf
        self.place = place  # None while it has awaited nothing, and of the first frame, which is the library's own.


class Task:
    """A task, with its coroutines from the outermost."""

    __slots__ = ("address", "context", "path", "resumes", "refused_awaits", "frames", "damage")

    def __init__(self, address, context, path, resumes, refused_awaits):
        self.address = address
        self.context = context
        self.path = path
        self.resumes = resumes
        self.refused_awaits = refused_awaits
        self.frames = []
        self.damage = None  # What ends the frames, in words.

    def places(self):
        return [frame.place for frame in reversed(self.frames) if frame.place is not None]


class Executor:
    """An executor with its tasks, as far as they can be read."""

    def __init__(self, process, address):
        memory, layout = process.memory, process.layout
        self._process = process
        self.address = address
        data = memory.read(address, layout["Executor.size"])

        def word(name):
            return struct.unpack_from("<Q", data, layout[name])[0]

        self.next, self.previous = word("Executor.next"), word("Executor.previous")
        self.running, self.runs_alone = word("Executor.running"), word("Executor.runs_alone")
        self.task_count = word("Executor.task_count")
        self.dead = data[layout["Executor.dead"]] != b"\0"
        self._head = address + layout["Executor.tasks"]
        self.name = self._read_name(word("Executor.name"))
        self.damage = []  # In words.

    def _read_name(self, string):
        try:
            data, size = struct.unpack("<QQ", self._process.memory.read(string, 16))
            if size > NAME_BYTES_MAX:
                raise Damaged("the name is too long")
            return bytes(self._process.memory.read(data, size)).decode("utf-8", "replace")
        except Damaged:
            return "?"

    def _element(self, link, before, forwards):
        """Returns (the task, the link behind it) of one that was reached from the link `before`."""
        layout = self._process.layout
        address = link - layout["RootPromise.link"]
        data = self._process.memory.read(address, layout["RootPromise.size"])

        def word(offset):
            return struct.unpack_from("<Q", data, offset)[0]

        next_link = word(layout["RootPromise.link"] + layout["ListLink.next"])
        previous_link = word(layout["RootPromise.link"] + layout["ListLink.previous"])
        context = layout["RootPromise.context"]
        came_from = previous_link if forwards else next_link
        executor = word(context + layout["TaskContext.executor"])
        first_frame = word(context + layout["TaskContext.first_frame"])
        if came_from != before or executor != self.address or first_frame != address:
            raise Damaged("what is at 0x%x is no task" % address)
        refused = struct.unpack_from("<I", data, context + layout["TaskContext.refused_awaits"])[0]
        task = Task(address, address + context, word(context + layout["TaskContext.path"]),
                    word(context + layout["TaskContext.resumes"]), refused)
        self._read_frames(task)
        return task, next_link if forwards else previous_link

    def _read_frames(self, task):
        process = self._process
        parent, promise = 0, task.address
        try:
            while promise != 0:
                frame = process.frame(promise, parent, task.context)
                task.frames.append(frame)
                parent, promise = promise, frame.child
        except Damaged as error:
            task.damage = str(error)

    def _walk(self, forwards, stop):
        """Yields (link, task) up to the link `stop`, or to where the list is damaged."""
        start = "ListLink.next" if forwards else "ListLink.previous"
        before, link = self._head, self._process.memory.pointer(self._head + self._process.layout[start])
        while link not in (self._head, stop):
            task, behind = self._element(link, before, forwards)
            yield link, task
            before, link = link, behind

    def tasks(self):
        """Yields (number, task), from the oldest. Behind a damage of the list come those that its end leads to."""
        number, last = 0, None
        try:
            for last, task in self._walk(True, None):
                number += 1
                yield number, task
            if number != self.task_count:
                self.damage.append("The executor says that it has %d task(s): it is damaged, or was at work on the "
                                   "list." % self.task_count)
            return
        except Damaged as error:
            where = "behind task %d" % number if number else "from its start"
            self.damage.append("The list of tasks is damaged %s: %s." % (where, error))
        rest = []
        try:
            for _, task in self._walk(False, last):
                rest.append(task)
            self.damage.append("Backwards it is whole.")
        except Damaged as error:
            self.damage.append("Backwards it is damaged behind %d task(s): %s." % (len(rest), error))
        missing = self.task_count - number - len(rest)
        if missing > 0:
            self.damage.append("%d task(s) of %d cannot be found." % (missing, self.task_count))
        for i, task in enumerate(reversed(rest)):
            yield max(number, self.task_count - len(rest)) + 1 + i, task


class Process:
    """What gdb looks at."""

    def __init__(self):
        if not gdb.selected_inferior().threads():
            raise gdb.GdbError("There is no process and no core.")
        self.memory = Memory()
        self.layout = Layout(self.memory)
        self.places = Places(self.memory, self.layout)
        self._classes = {}
        names = ("self", "parent", "child", "task", "leaf", "await_location")
        self._frame_offsets = [self.layout["PromiseBase." + name] for name in names]
        self._frame_size = self.layout["PromiseBase.size"]

    def executors(self):
        """Yields all executors; then, where the list is damaged, a text that says so."""
        address, before = self.layout.oldest, 0
        while address != 0:
            try:
                executor = Executor(self, address)
                if executor.previous != before:
                    raise Damaged("what is at 0x%x is no executor" % address)
            except Damaged as error:
                yield "The list of executors is damaged: %s." % error
                return
            yield executor
            address, before = executor.next, address

    def frame(self, promise, parent, context):
        data = self.memory.read(promise, self._frame_size)
        handle, its_parent, child, its_context, leaf, location = (
            struct.unpack_from("<Q", data, offset)[0] for offset in self._frame_offsets)
        if its_parent != parent or its_context != context:
            raise Damaged("what is at 0x%x is no coroutine of this task" % promise)
        place = None
        if parent != 0 and location != 0:
            place = self.places.at(location)
        return Frame(promise, handle, child, leaf, place)

    def class_of(self, address):
        """Returns the name of the class of an object with virtual functions."""
        table = self.memory.pointer(address)
        if table not in self._classes:
            symbol = gdb.execute("info symbol 0x%x" % table, to_string=True)
            match = re.match(r"vtable for (.*?)(?: \+ \d+)?(?: in section .*)?$", symbol.strip())
            if match is None:
                raise Damaged("what is at 0x%x is no call" % address)
            self._classes[table] = re.sub(r"\btandem::|\(anonymous namespace\)::|\blts_\d+::", "", match.group(1))
        return self._classes[table]

    def waits_for(self, executor, task):
        if executor.running == task.context:
            return "nothing: it runs"
        if task.damage is not None:
            return "?"
        if task.refused_awaits >= self.layout["Executor.kManyRefusedAwaits"]:
            return ("nothing: it ignores its cancellation, and has gone on after %d awaits that were refused"
                    % task.refused_awaits)
        leaf = task.frames[-1].leaf
        if leaf != 0:
            try:
                return self.class_of(leaf)
            except Damaged as error:
                return "? (%s)" % error
        if executor.runs_alone == task.context and executor.task_count > 1:
            return "the end of all other tasks"
        return "its turn to run"


# --- Commands ---------------------------------------------------------------------------------------------------------


def write(line):
    gdb.write(line + "\n")


def header(process, executor, number, several):
    text = "%s: %d task(s)" % (executor.name, executor.task_count)
    if several:
        text = "executor %d, %s" % (number, text)
    return text + (", crashed" if executor.dead else "")


def list_tasks(process):
    executors = list(process.executors())
    if not executors:
        write("There is no executor: the runtime has not begun, or has ended.")
    several = sum(isinstance(executor, Executor) for executor in executors) > 1
    for index, executor in enumerate(executors, 1):
        if not isinstance(executor, Executor):
            write(executor)
            continue
        write(header(process, executor, index, several))
        # Tasks at the same place share a paragraph, as in the reports of the program itself.
        paragraphs = {}
        found_running = False
        for number, task in executor.tasks():
            runs = executor.running == task.context
            found_running = found_running or runs
            key = (runs, task.damage is not None and task.address, *(place.key for place in task.places()))
            if key in paragraphs:
                paragraphs[key][2] += 1
            else:
                paragraphs[key] = [number, task, 0]
        for number, task, others in paragraphs.values():
            more = ", and %d more like it" % others if others else ""
            write("  task %d of %d%s" % (number, executor.task_count, more))
            write("    waits for: " + process.waits_for(executor, task))
            if task.damage is not None:
                write("    (its innermost awaits are lost: %s)" % task.damage)
            for line in await_stack(task.places()):
                write(line)
        if executor.running != 0 and not found_running:
            executor.damage.append("The task that runs, 0x%x, is none of these." % executor.running)
        for line in executor.damage:
            write("  " + line)


def describe_task(process, argument):
    match = re.fullmatch(r"(?:(\d+)\.)?(\d+)", argument.strip())
    if match is None:
        raise gdb.GdbError("tandem task N, or EXECUTOR.N: the numbers are those of `tandem tasks`.")
    wanted_executor, wanted = int(match.group(1) or 1), int(match.group(2))
    for index, executor in enumerate(process.executors(), 1):
        if index != wanted_executor or not isinstance(executor, Executor):
            continue
        for number, task in executor.tasks():
            if number == wanted:
                write_details(process, executor, number, task)
                return
        raise gdb.GdbError(" ".join(["There is no task %d of %d." % (wanted, executor.task_count), *executor.damage]))
    raise gdb.GdbError("There is no executor %d." % wanted_executor)


def write_details(process, executor, number, task):
    write("task %d of %d of %s, path %016x, resumed %d time(s)"
          % (number, executor.task_count, executor.name, task.path, task.resumes))
    leaf = task.frames[-1].leaf if task.frames else 0
    write("  waits for: %s%s" % (process.waits_for(executor, task), " at 0x%x" % leaf if leaf else ""))
    if task.damage is not None:
        write("  (its innermost coroutines are lost: %s)" % task.damage)
    for frame in reversed(task.frames):
        if frame is task.frames[0]:
            place = "the first frame of a task"
        elif frame.place is None:
            place = "a coroutine that has awaited nothing"
        else:
            place = frame.place.text
        write("  at %s\n    frame 0x%x, promise 0x%x" % (place, frame.handle, frame.promise))


def run(command, *arguments):
    try:
        command(Process(), *arguments)
    except Damaged as error:
        raise gdb.GdbError("The process cannot be read: %s." % error) from error
    except (struct.error, IndexError, OverflowError) as error:  # Of a number that is none of the program's.
        raise gdb.GdbError("%s is damaged: %s." % (ROOT, error)) from error
    except gdb.error as error:  # Of gdb itself, such as that the process runs.
        raise gdb.GdbError("gdb says: %s" % error) from error


class TandemCommand(gdb.Command):
    """Looks at the tasks of a program with Tandem."""

    def __init__(self):
        super().__init__("tandem", gdb.COMMAND_STATUS, prefix=True)


class TasksCommand(gdb.Command):
    """Lists all tasks: what each waits for, and the file and line of each of its awaits, innermost first.

    Tasks at the same place share a paragraph. `tandem task N` has more about one."""

    def __init__(self):
        super().__init__("tandem tasks", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        if argument.strip():
            raise gdb.GdbError("tandem tasks has no arguments.")
        run(list_tasks)


class TaskCommand(gdb.Command):
    """Shows one task, by its number in `tandem tasks`: with the addresses of its coroutines.

    tandem task N, or EXECUTOR.N where there are several executors."""

    def __init__(self):
        super().__init__("tandem task", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        run(describe_task, argument)


TandemCommand()
TasksCommand()
TaskCommand()
