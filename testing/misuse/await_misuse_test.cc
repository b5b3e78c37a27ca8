// SPDX-License-Identifier: Apache-2.0
//
// Tasks and calls: what the compiler says to those who await, spawn or return them wrongly.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "tandem/sim/world/world.h"
#include "tandem/tandem.h"

namespace tandem {

Task<int> One() { co_return 1; }
Task<absl::Status> Done() { co_return absl::OkStatus(); }
Task<void> Count(int* counter) {
  ++*counter;
  co_return;
}

// --- Calls -----------------------------------------------------------------------------------------------------------

#ifdef AWAITS_A_NAMED_CALL
// clang error: call to implicitly-deleted copy constructor of 'tandem::ReadOperation'
// gcc error: use of deleted function
// note: A call is awaited where it is made: co_await stream.Read(span)
Task<absl::StatusOr<size_t>> Read(TcpStream* stream, absl::Span<char> target) {
  auto read = stream->Read(target);
  co_return co_await std::move(read);
}
#else
Task<absl::StatusOr<size_t>> Read(TcpStream* stream, absl::Span<char> target) {
  co_return co_await stream->Read(target);
}
#endif

#ifdef AWAITS_A_CALL_WHOSE_DATA_ARE_GONE
// clang error: call to implicitly-deleted copy constructor of 'tandem::WriteAllOperation'
// gcc error: use of deleted function
// note: A call is awaited where it is made: co_await stream.Read(span)
Task<IoResult> Greet(TcpStream* stream) {
  auto write = stream->WriteAll(std::string("hello"));
  co_return co_await std::move(write);
}
#else
Task<IoResult> Greet(TcpStream* stream) { co_return co_await stream->WriteAll(std::string("hello")); }
#endif

#ifdef AWAITS_A_CALL_BY_REFERENCE
// clang error: call to implicitly-deleted copy constructor of
// gcc error: use of deleted function
// note: A call is awaited where it is made: co_await stream.Read(span)
Task<absl::Status> Nap() {
  auto&& sleep = Sleep(absl::Seconds(1));
  co_return co_await sleep;
}
#else
Task<absl::Status> Nap() { co_return co_await Sleep(absl::Seconds(1)); }
#endif

#ifdef AWAITS_A_NAMED_CALL_WITH_A_DEADLINE
// clang warning: temporary whose address is used as value of local variable 'sleep' will be destroyed
// clang note: A call is awaited where it is made: co_await stream.Read(span)
// gcc error: use of deleted function
// gcc note: A call is awaited where it is made: co_await stream.Read(span)
Task<absl::Status> NapUntil(Instant deadline) {
  auto sleep = Sleep(absl::Seconds(1)).By(deadline);
  co_return co_await std::move(sleep);
}
#else
Task<absl::Status> NapUntil(Instant deadline) { co_return co_await Sleep(absl::Seconds(1)).By(deadline); }
#endif

#ifdef STORES_A_COMBINATION_OF_CALLS
// clang warning: temporary whose address is used as value of local variable 'both' will be destroyed
// gcc: silent
Task<void> NapTwice() {
  auto both = WhenAll(Sleep(absl::Seconds(1)), Sleep(absl::Seconds(2)));
  co_await std::move(both);
}
#else
Task<void> NapTwice() { co_await WhenAll(Sleep(absl::Seconds(1)), Sleep(absl::Seconds(2))); }
#endif

// --- Tasks -----------------------------------------------------------------------------------------------------------

#ifdef AWAITS_A_NAMED_TASK
// error: a task is awaited once; who has it in a variable gives it away: co_await std::move(task)
Task<int> AwaitNamed(Task<int> task) { co_return co_await task; }
#else
Task<int> AwaitNamed(Task<int> task) { co_return co_await std::move(task); }
#endif

#ifdef AWAITS_A_NUMBER
// error: a task is wanted, which is what a call of a coroutine gives: f()
Task<void> AwaitNumber() { co_await 5; }
#else
Task<void> AwaitNumber() { static_cast<void>(co_await One()); }
#endif

#ifdef AWAITS_A_FUNCTION
// error: a task is wanted, not the function that makes it: call it, f() or [] { ... }()
Task<int> AwaitFunction() { co_return co_await One; }
#else
Task<int> AwaitFunction() { co_return co_await One(); }
#endif

#ifdef DROPS_A_TASK
// clang warning: ignoring return value of function declared with 'nodiscard' attribute
// gcc warning: ignoring returned value of type
void Drop() { One(); }
#else
Task<int> Drop() { return One(); }
#endif

#ifdef RETURNS_ANOTHER_TYPE
// error: what is given to co_return does not convert to the T of the coroutine's Task<T>
Task<int> ReturnText() { co_return std::string("1"); }
#else
Task<std::string> ReturnText() { co_return "1"; }
#endif

// As `return`, `co_return` converts nothing that has to be asked for.
#ifdef RETURNS_A_SIZE_FOR_A_VECTOR
// error: what is given to co_return does not convert to the T of the coroutine's Task<T>
Task<std::vector<int>> ReturnVector() { co_return 7; }
#else
Task<std::vector<int>> ReturnVector() { co_return std::vector<int>(7); }
#endif

#ifdef RETURNS_A_SIZE_FOR_A_VECTOR_OR_A_STATUS
// error: what is given to co_return does not convert to the T of the coroutine's Task<T>
Task<absl::StatusOr<std::vector<char>>> ReturnVectorOrStatus() { co_return 7; }
#else
Task<absl::StatusOr<std::vector<char>>> ReturnVectorOrStatus() { co_return std::vector<char>(7); }
Task<absl::StatusOr<std::string>> ReturnTextOrStatus() { co_return "text"; }
Task<absl::StatusOr<int>> ReturnStatus() { co_return absl::NotFoundError("none"); }
#endif

#ifdef RETURNS_A_POINTER_FOR_ITS_OWNER
// error: what is given to co_return does not convert to the T of the coroutine's Task<T>
Task<std::unique_ptr<int>> ReturnOwner() { co_return new int(1); }
#else
Task<std::unique_ptr<int>> ReturnOwner() { co_return std::make_unique<int>(1); }
Task<std::unique_ptr<int>> ReturnNothing() { co_return nullptr; }
#endif

#ifdef AWAITS_OUTSIDE_OF_A_COROUTINE
// clang error: this function cannot be a coroutine: 'std::coroutine_traits<void>' has no member named 'promise_type'
// gcc error: unable to find the promise type for this coroutine
void Outside() { co_await Done(); }
#else
Task<absl::Status> Outside() { co_return co_await Done(); }
#endif

// --- Functions that take tasks ---------------------------------------------------------------------------------------

#ifdef GIVES_WITH_TIMEOUT_A_LAMBDA
// error: a task is wanted, not the function that makes it: call it, f() or [] { ... }()
Task<absl::Status> Limited() {
  co_return co_await WithTimeout(absl::Seconds(1), []() -> Task<absl::Status> { co_return absl::OkStatus(); });
}
#else
Task<absl::Status> Limited() {
  co_return co_await WithTimeout(absl::Seconds(1), []() -> Task<absl::Status> { co_return absl::OkStatus(); }());
}
#endif

#ifdef GIVES_WITH_TIMEOUT_A_NAMED_TASK
// clang error: call to deleted constructor of 'Task<Status>'
// gcc error: use of deleted function
// note: A task is awaited once; who has it in a variable gives it away: std::move(task).
Task<absl::Status> LimitedTask(Task<absl::Status> task) { co_return co_await WithTimeout(absl::Seconds(1), task); }
#else
Task<absl::Status> LimitedTask(Task<absl::Status> task) {
  co_return co_await WithTimeout(absl::Seconds(1), std::move(task));
}
#endif

#ifdef GIVES_WITH_TIMEOUT_A_TASK_THAT_CANNOT_SAY_THAT_IT_WAS_STOPPED
// error: a task under a deadline returns Status, StatusOr or IoResult, to say that it was stopped
Task<int> LimitedInt() { co_return co_await WithTimeout(absl::Seconds(1), One()); }
#else
Task<int> LimitedInt() { co_return co_await One(); }
#endif

#ifdef GIVES_WHEN_ALL_A_FUNCTION
// error: a task is wanted, not the function that makes it: call it, f() or [] { ... }()
Task<void> All() { co_await WhenAll(One(), Done); }
#else
Task<void> All() { co_await WhenAll(One(), Done()); }
#endif

#ifdef GIVES_WHEN_ANY_A_LAMBDA
// error: a task is wanted, not the function that makes it: call it, f() or [] { ... }()
Task<void> Any() {
  co_await WhenAny(One(), []() -> Task<int> { co_return 2; });
}
#else
Task<void> Any() {
  co_await WhenAny(One(), []() -> Task<int> { co_return 2; }());
}
#endif

#ifdef GIVES_BLOCK_ON_A_FUNCTION
// error: a task is wanted, not the function that makes it: call it, f() or [] { ... }()
absl::Status Block(Runtime* runtime) { return runtime->BlockOn(Done); }
#else
absl::Status Block(Runtime* runtime) { return runtime->BlockOn(Done()); }
#endif

#ifdef GIVES_BLOCK_ON_A_NAMED_TASK
// clang error: call to deleted constructor of 'Task<int>'
// gcc error: use of deleted function
// note: A task is awaited once; who has it in a variable gives it away: std::move(task).
int BlockOnNamed(Runtime* runtime, Task<int> task) { return runtime->BlockOn(task); }
#else
int BlockOnNamed(Runtime* runtime, Task<int> task) { return runtime->BlockOn(std::move(task)); }
#endif

#ifdef GIVES_SHIELD_A_FUNCTION
// error: a task is wanted, not the function that makes it: call it, f() or [] { ... }()
Task<absl::Status> CleanUp() { co_return co_await Shield(absl::Seconds(1), Done); }
#else
Task<absl::Status> CleanUp() { co_return co_await Shield(absl::Seconds(1), Done()); }
#endif

#ifdef GIVES_SHIELD_A_CALL
// error: a task is wanted, not a call such as Read() or Sleep(): await the call in a coroutine of its own
Task<absl::Status> CleanUpLate() { co_return co_await Shield(absl::Seconds(2), Sleep(absl::Seconds(1))); }
#else
Task<absl::Status> CleanUpLate() { co_return co_await Shield(absl::Seconds(2), Nap()); }
#endif

#ifdef GIVES_UNTIL_STOP_A_FUNCTION
// error: a task is wanted, not the function that makes it: call it, f() or [] { ... }()
Task<absl::Status> Until() { co_return co_await UntilStop(Done); }
#else
Task<absl::Status> Until() { co_return co_await UntilStop(Done()); }
#endif

#ifdef GIVES_WITH_DRAIN_A_FUNCTION
// error: a task is wanted, not the function that makes it: call it, f() or [] { ... }()
Task<absl::Status> Drain() { co_return co_await WithDrain(absl::Seconds(1), Done); }
#else
Task<absl::Status> Drain() { co_return co_await WithDrain(absl::Seconds(1), Done()); }
#endif

// --- Functions that take functions -----------------------------------------------------------------------------------

struct Server {
  Task<void> Run(int) { co_return; }
};
Task<void> Increment(int& counter) {  // NOLINT(cppcoreguidelines-avoid-reference-coroutine-parameters): a misuse.
  ++counter;
  co_return;
}

#ifdef SPAWNS_A_TASK
// error: spawn the function, not the task that it makes: Spawn(f, x) instead of Spawn(f(x))
void SpawnCount(int* counter) { Spawn(Count(counter)); }
#else
void SpawnCount(int* counter) { Spawn(Count, counter); }
#endif

#ifdef SPAWNS_WITH_A_REFERENCE
// error: a spawned function takes its arguments by value, since they are moved into its frame: give it a pointer
void SpawnIncrement(int* counter) { Spawn(Increment, *counter); }
#else
void SpawnIncrement(int* counter) { Spawn(Count, counter); }
#endif

#ifdef SPAWNS_A_MEMBER_FUNCTION_WITH_WRONG_ARGUMENTS
// error: the spawned function cannot be called with these arguments
void SpawnMember(Server* server) { Spawn(&Server::Run, server); }
#else
void SpawnMember(Server* server) { Spawn(&Server::Run, server, 1); }
#endif

#ifdef SPAWNS_WHAT_HAS_A_STATUS
// error: a spawned function returns Task<void>: nobody is there to see a Status, so handle it inside
void SpawnDone() { Spawn(Done); }
#else
void SpawnDone() {
  Spawn([]() -> Task<void> { static_cast<void>(co_await Done()); });
}
#endif

#ifdef SPAWNS_A_PLAIN_FUNCTION
// error: a spawned function is a coroutine: it returns a Task
void SpawnPlain() {
  Spawn([] {});
}
#else
void SpawnPlain() {
  Spawn([]() -> Task<void> { co_return; });
}
#endif

#ifdef SPAWNS_A_LAMBDA_WITH_CAPTURES
// error: a spawned lambda captures nothing: pass what it needs as arguments, they are kept in the task's frame
void SpawnLambda(std::string text) {
  Spawn([text]() -> Task<void> { co_return; });
}
#else
void SpawnLambda(std::string text) {
  Spawn([](std::string) -> Task<void> { co_return; }, text);
}
#endif

#ifdef SPAWNS_WITH_A_VIEW
// error: a spawned task outlives the expression that starts it: pass a std::string for a string_view
void SpawnView(absl::string_view text) {
  Spawn([](absl::string_view) -> Task<void> { co_return; }, text);
}
#else
void SpawnView(absl::string_view text) {
  Spawn([](std::string) -> Task<void> { co_return; }, std::string(text));
}
#endif

#ifdef GIVES_A_GROUP_A_CHILD_WITH_A_VALUE
// error: a child of a group returns Task<void> or Task<absl::Status>
void SpawnChild(TaskGroup* group) { group->Spawn(One); }
#else
void SpawnChild(TaskGroup* group) { group->Spawn(Done); }
#endif

#ifdef GIVES_A_GROUP_A_BODY_WITHOUT_A_STATUS
// error: the body of a task group takes a TaskGroup& and returns Task<absl::Status>
Task<absl::Status> Group() {
  co_return co_await WithTaskGroup([](TaskGroup&) -> Task<void> { co_return; });
}
#else
Task<absl::Status> Group() {
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters): the group outlives its body.
  co_return co_await WithTaskGroup([](TaskGroup&) -> Task<absl::Status> { co_return absl::OkStatus(); });
}
#endif

#ifdef SERVES_WITH_A_STATUS
// error: a handler of connections takes its stream by value and returns Task<void>
Task<absl::Status> TalkAndTell(TcpStream) { co_return absl::OkStatus(); }
Task<absl::Status> ServeOne(TcpListener listener) { co_return co_await Serve(std::move(listener), TalkAndTell); }
#else
Task<void> Talk(TcpStream) { co_return; }
Task<absl::Status> ServeOne(TcpListener listener) { co_return co_await Serve(std::move(listener), Talk); }
#endif

#ifdef SERVES_WITH_A_REFERENCE
// error: a handler of connections takes its stream by value and returns Task<void>
Task<absl::Status> ServeTwo(TcpListener listener) {
  co_return co_await Serve(std::move(listener), [](TcpStream&) -> Task<void> { co_return; });
}
#else
Task<absl::Status> ServeTwo(TcpListener listener) {
  co_return co_await Serve(std::move(listener), [](TcpStream) -> Task<void> { co_return; });
}
#endif

#ifdef SERVES_WITH_A_PLAIN_FUNCTION
// error: a handler of connections takes its stream by value and returns Task<void>
Task<absl::Status> ServeThree(TcpListener listener) {
  co_return co_await Serve(std::move(listener), [](TcpStream) {});
}
#else
Task<absl::Status> ServeThree(TcpListener listener) {
  co_return co_await Serve(std::move(listener), [](TcpStream) -> Task<void> { co_return; });
}
#endif

#ifdef ADDS_A_HOST_WITH_ANOTHER_RESULT
// error: the main of a host is a function without parameters that can be copied and returns Task<absl::Status>
void AddHost(sim::World& world) { world.AddHost("host", One); }
#else
void AddHost(sim::World& world) { world.AddHost("host", Done); }
#endif

#ifdef ADDS_A_HOST_WITH_A_TASK
// error: AddHost() takes the function that makes the task, since each restart calls it: [] { return Main(); }
void AddHostTask(sim::World& world) { world.AddHost("host", Done()); }
#else
void AddHostTask(sim::World& world) {
  world.AddHost("host", [] { return Done(); });
}
#endif

#ifdef ADDS_A_SERVER_WITH_A_TASK
// error: AddHost() takes the function that makes the task, since each restart calls it: [] { return Main(); }
void AddServerTask(sim::World& world) { world.AddServer("host", Done()); }
#else
void AddServerTask(sim::World& world) {
  world.AddServer("host", [] { return Done(); });
}
#endif

#ifdef ADDS_A_CLIENT_WITH_ANOTHER_RESULT
// error: the main of a host is a function without parameters that can be copied and returns Task<absl::Status>
void AddClient(sim::World& world) { world.AddClient("host", One); }
#else
void AddClient(sim::World& world) { world.AddClient("host", Done); }
#endif

}  // namespace tandem
