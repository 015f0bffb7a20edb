#include "threads.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>

namespace crossface {

namespace {

constexpr int kMostThreads = 64;

struct Job {
    Part* run;
    void* data;
    int parts;
    int places;  // for threads that have not joined yet
    int next = 0;
    int running = 0;
    std::exception_ptr error = nullptr;

    bool exhausted() const { return next == parts; }
};

// Threads that wait for jobs. A part takes many microseconds, so one lock for all is cheap.
class Pool {
  public:
    void run(Job& job) {
        std::unique_lock lock(mutex_);
        const int helpers = std::min(job.places, job.parts - 1);
        grow(helpers);
        jobs_.push_back(&job);
        for (int i = 0; i < helpers; ++i) job_arrived_.notify_one();
        work(job, lock);
        part_finished_.wait(lock, [&] { return job.running == 0; });
    }

  private:
    void grow(int wanted) {
        try {
            for (; threads_ < std::min(wanted, kMostThreads); ++threads_)
                std::thread([this] { serve(); }).detach();
        } catch (const std::system_error&) {
            // The caller does the work alone.
        }
    }

    [[noreturn]] void serve() {
        std::unique_lock lock(mutex_);
        while (true) {
            const auto open =
                std::find_if(jobs_.begin(), jobs_.end(), [](const Job* job) { return job->places > 0; });
            if (open == jobs_.end()) {
                job_arrived_.wait(lock);
                continue;
            }
            Job& job = **open;
            --job.places;
            work(job, lock);
        }
    }

    // Takes parts of `job` until none is left. Holds the lock when it starts and ends.
    void work(Job& job, std::unique_lock<std::mutex>& lock) {
        while (!job.exhausted()) {
            const int part = job.next++;
            if (job.exhausted()) jobs_.erase(std::find(jobs_.begin(), jobs_.end(), &job));
            ++job.running;
            lock.unlock();
            std::exception_ptr error;
            try {
                job.run(job.data, part);
            } catch (...) {
                error = std::current_exception();
            }
            lock.lock();
            if (error) job.error = error;
            // The job is its caller's, who may be gone once nothing runs.
            if (--job.running == 0 && job.exhausted()) {
                part_finished_.notify_all();
                return;
            }
        }
    }

    std::mutex mutex_;
    std::condition_variable job_arrived_, part_finished_;
    std::deque<Job*> jobs_;
    int threads_ = 0;
};

// Never deleted: its threads wait in it until the process ends.
std::atomic<Pool*> current_pool{nullptr};

// A forked child has the memory of the pool, perhaps locked, but not its threads.
void forget_pool() { current_pool = nullptr; }

Pool& pool() {
    [[maybe_unused]] static const int registered = pthread_atfork(nullptr, nullptr, forget_pool);
    Pool* existing = current_pool;
    if (existing) return *existing;
    Pool* fresh = new Pool;
    if (current_pool.compare_exchange_strong(existing, fresh)) return *fresh;
    delete fresh;
    return *existing;
}

}  // namespace

void run_parts(int parts, int threads, Part* run, void* data) {
    if (parts <= 1 || threads <= 1) {
        for (int part = 0; part < parts; ++part) run(data, part);
        return;
    }
    Job job{run, data, parts, threads - 1};
    pool().run(job);
    if (job.error) std::rethrow_exception(job.error);
}

int default_threads() {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return 1;
    return std::clamp(CPU_COUNT(&allowed), 1, 4);
}

}  // namespace crossface
