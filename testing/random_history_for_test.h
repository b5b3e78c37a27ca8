// SPDX-License-Identifier: Apache-2.0
//
// Random histories of objects that are linearizable, or, by a wrong answer, perhaps are not.

#ifndef TANDEM_TESTING_RANDOM_HISTORY_FOR_TEST_H_
#define TANDEM_TESTING_RANDOM_HISTORY_FOR_TEST_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tandem/core/base/random.h"
#include "tandem/testing/history.h"

namespace tandem::testing {

struct Question {
  std::string name;
  std::vector<std::string> arguments;
};

struct RandomHistoryOptions {
  size_t operations = 0;
  size_t clients = 0;
  size_t objects = 1;
  Probability open;   // That an operation is left open. It has taken effect or not.
  Probability fail;   // That it fails instead of taking effect.
  Probability wrong;  // That an answer is another one of `wrong_answers`.
  std::vector<std::string> wrong_answers;
};

// Lets clients ask objects of `model`, each one thing at a time. Calls take effect in between, at a random time.
template <typename Model>
class RandomHistory {
 public:
  RandomHistory(const Model& model, std::function<Question(RandomStream&)> ask, RandomHistoryOptions options,
                uint64_t seed)
      : model_(model), ask_(std::move(ask)), options_(std::move(options)), random_(seed), clients_(options_.clients) {}

  std::vector<History::Operation> Run() {
    // An operation that waits for another one, as for a lock, may wait for ever.
    for (size_t i = 0; begun_ < options_.operations && i < 100 * options_.operations; ++i) {
      Step(random_.Below(clients_.size()));
    }
    return history_.operations();
  }

 private:
  struct Client {
    std::optional<History::Call> call;
    History::Operation operation;
    std::optional<std::string> answer;  // It has taken effect.
  };

  void Step(size_t number) {
    Client& client = clients_[number];
    if (!client.call) {
      Begin(number, &client);
    } else if (random_.Chance(options_.open)) {
      client.call.reset();
    } else if (client.answer) {
      client.call->Return(AnswerOrWrong(*client.answer));
      client.call.reset();
    } else if (random_.Chance(options_.fail)) {
      client.call->Fail();
      client.call.reset();
    } else {
      TakeEffect(&client);
    }
  }

  void Begin(size_t number, Client* client) {
    const Question question = ask_(random_);
    client->operation.object = absl::StrCat("o", random_.Below(options_.objects));
    client->operation.name = question.name;
    client->operation.arguments = question.arguments;
    const std::string name = absl::StrCat("c", number);
    const std::vector<std::string>& arguments = question.arguments;
    client->call = arguments.empty() ? history_.Invoke(name, client->operation.object, question.name)
                   : arguments.size() == 1
                       ? history_.Invoke(name, client->operation.object, question.name, arguments[0])
                       : history_.Invoke(name, client->operation.object, question.name, arguments[0], arguments[1]);
    client->answer.reset();
    ++begun_;
  }

  void TakeEffect(Client* client) {
    const auto object = objects_.try_emplace(client->operation.object, model_.Start()).first;
    typename Model::State next = object->second;
    client->answer = model_.Apply(client->operation, &next);
    if (client->answer) object->second = next;
  }

  std::string AnswerOrWrong(const std::string& answer) {
    if (!random_.Chance(options_.wrong)) return answer;
    return options_.wrong_answers[random_.Below(options_.wrong_answers.size())];
  }

  const Model& model_;
  const std::function<Question(RandomStream&)> ask_;
  const RandomHistoryOptions options_;
  RandomStream random_;
  History history_;
  std::vector<Client> clients_;
  std::map<std::string, typename Model::State> objects_;
  size_t begun_ = 0;
};

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RANDOM_HISTORY_FOR_TEST_H_
