// Several processes of precept train, as launchers start them: the bits of one, one report, and a clean end when one dies.

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "tests/cli/program.h"
#include "tests/support/free_port.h"

namespace precept {
namespace {

class World : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    std::string data;
    for (int i = 0; i < 16; ++i) {
      data += R"({"prompt":"What is next to )" + std::to_string(i) + R"(?","completion":"It is )" + std::to_string(i + 1) + ".\"}\n";
    }
    put("data.jsonl", data);
    port_ = std::to_string(free_port());
  }
  std::string torchrun(int rank) const {
    return "RANK=" + std::to_string(rank) + " WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=" + port_;
  }
  std::string mpirun(int rank) const {
    return "OMPI_COMM_WORLD_RANK=" + std::to_string(rank) + " OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_LOCAL_SIZE=2 MASTER_PORT=" + port_;
  }
  std::string slurm(int rank) const {
    return "SLURM_PROCID=" + std::to_string(rank) + " SLURM_STEP_NUM_TASKS=2 SLURM_STEP_NUM_NODES=1 MASTER_PORT=" + port_;
  }
  std::string port_;
};

constexpr const char* kCommand = "train sft --quiet --json --data data.jsonl --epochs 1 --batch-tokens 150 --threads 1 --panel 0 --out ";

TEST_F(World, GivesTheWeightsOfOneProcessAndOneReport) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const Ran alone = run(std::string(kCommand) + "alone");
  ASSERT_EQ(alone.code, 0) << alone.err;
  const auto expected = nlohmann::json::parse(alone.out);
  int n = 0;
  for (const auto& [first, second] : {std::pair{torchrun(0), torchrun(1)}, {mpirun(0), mpirun(1)}, {slurm(0), slurm(1)}}) {
    const std::string out = "together" + std::to_string(n++);
    const Ran ran = run(std::string(kCommand) + out, "( { " + second + " '" + binary_ + "' " + kCommand + out +
                                                         " > other.out 2> other.err; echo $? > other.code; } & ) && " + first);
    ASSERT_EQ(ran.code, 0) << ran.err;
    const auto got = nlohmann::json::parse(ran.out);
    EXPECT_EQ(got["digest"], expected["digest"]);
    EXPECT_EQ(got["last_loss"], expected["last_loss"]);
    for (int i = 0; i < 200 && slurp(path("other.code")).empty(); ++i) ::usleep(50'000);
    EXPECT_EQ(slurp(path("other.code")), "0\n") << slurp(path("other.err"));
    EXPECT_EQ(slurp(path("other.out")), "");
    std::filesystem::remove(path("other.code"));
  }
}

// A port that is taken, and the next one free.
class Agent {
 public:
  Agent() {
    for (int i = 0; i < 100; ++i) {
      const int port = free_port();
      fd_ = listen_at(port);
      const int next = fd_ >= 0 && port < 65535 ? listen_at(port + 1) : -1;
      if (next >= 0) {
        ::close(next);
        port_ = std::to_string(port);
        return;
      }
      if (fd_ >= 0) ::close(fd_);
    }
  }
  ~Agent() { ::close(fd_); }
  const std::string& port() const { return port_; }

 private:
  static int listen_at(int port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(static_cast<std::uint16_t>(port));
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0 && ::listen(fd, 4) == 0) return fd;
    ::close(fd);
    return -1;
  }
  int fd_ = -1;
  std::string port_;
};

// As torchrun starts workers: it listens at MASTER_PORT itself.
TEST_F(World, LeavesItsPortToTorchrun) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const Agent agent;
  ASSERT_FALSE(agent.port().empty());
  port_ = agent.port();
  const std::string kept = "TORCHELASTIC_USE_AGENT_STORE=True ";
  const Ran ran = run(std::string(kCommand) + "m", "( { " + kept + torchrun(1) + " '" + binary_ + "' " + kCommand + "m > /dev/null 2>&1; } & ) && " + kept + torchrun(0));
  EXPECT_EQ(ran.code, 0) << ran.err;
}

TEST_F(World, ProcessesOfDifferentCommandsRefuseEachOther) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const Ran ran = run(std::string(kCommand) + "m", "( { " + torchrun(1) + " '" + binary_ + "' " + kCommand + "m --lr 0.5 > /dev/null 2>&1; } & ) && " + torchrun(0));
  expect_error(ran, 2, "process 1 of 2 was started with other options");
}

TEST_F(World, AnEnvironmentThatMakesNoSenseIsRefused) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  expect_error(run(std::string(kCommand) + "m", "RANK=2 WORLD_SIZE=2"), 2, "RANK is \"2\"");
  expect_error(run(std::string(kCommand) + "m", "RANK=0 WORLD_SIZE=two"), 2, "WORLD_SIZE is \"two\"");
  expect_error(run(std::string(kCommand) + "m", "RANK=0"), 2, "RANK but no WORLD_SIZE");
  expect_error(run(std::string(kCommand) + "m", "RANK=0 WORLD_SIZE=9 MASTER_PORT=" + port_), 2, "9 processes are too many for 4 lanes");
  expect_error(run(std::string(kCommand) + "m --lanes 1", torchrun(0)), 2, "2 processes are too many for 1 lane");
  expect_error(run(std::string(kCommand) + "m", "OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_LOCAL_SIZE=2"), 2, "several machines");
  // A batch script of Slurm is no step of several tasks.
  const Ran batch = run(std::string(kCommand) + "m", "SLURM_PROCID=0 SLURM_NTASKS=4");
  EXPECT_EQ(batch.code, 0) << batch.err;
}

}  // namespace
}  // namespace precept
