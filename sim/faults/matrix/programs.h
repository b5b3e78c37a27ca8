// SPDX-License-Identifier: Apache-2.0
//
// Small programs in pairs: one that believes in something that a kind of fault breaks, and one that does the same work
// and gets along with it.

#ifndef TANDEM_SIM_FAULTS_MATRIX_PROGRAMS_H_
#define TANDEM_SIM_FAULTS_MATRIX_PROGRAMS_H_

#include "tandem/sim/world/world.h"

namespace tandem::sim {

// Adds the hosts of such a program to `world`. What RunClients() returns says whether it has come to grief.
using Setup = void (*)(World& world);

// Three clients ask a server again and again, some requests over one connection. The hasty ones give up at the first
// error, and when something has taken long; the patient ones ask anew until they have the right answer.
void AskHastily(World& world);
void AskPatiently(World& world);
// The same with requests that are longer than the windows of TCP.
void AskMuchHastily(World& world);
void AskMuchPatiently(World& world);
// The same, believing that a receive gives all that was sent at once.
void ReceiveAtOnce(World& world);
// The same, believing that a send takes all that it is given.
void SendAtOnce(World& world);

// A host sends numbered datagrams to another, which expects them once and in order; or takes each once, in any order.
void ExpectDatagramsInOrder(World& world);
void SortDatagrams(World& world);

// A client looks a name up again and again. Trusting: there is always an answer, soon, and the same.
void TrustNames(World& world);
void LookNamesUpAgain(World& world);
// A name moves from one host to another, and a client connects to it afterwards: once, or until it gets through.
void TrustMovedName(World& world);
void LookMovedNameUpAgain(World& world);

// Blocking work, which is expected to be over soon; or not.
void ExpectWorkSoon(World& world);
void WaitForWork(World& world);

// A client asks a server for its times, and believes that its own are the same; or uses them for nothing but their
// differences on one host.
void CompareClocks(World& world);
void MeasureDurations(World& world);

}  // namespace tandem::sim

#endif  // TANDEM_SIM_FAULTS_MATRIX_PROGRAMS_H_
