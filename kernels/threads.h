#pragma once

namespace crossface {

// Does part `part` of the job that `data` describes.
using Part = void(void* data, int part);

// Calls `run(data, part)` for every part 0 .. parts-1, on this thread and on at most `threads - 1` others,
// and returns when all are done. Any number of threads may call it at once. A process forked from one that
// used it starts with threads of its own. What a part throws is thrown on once all have ended.
void run_parts(int parts, int threads, Part* run, void* data);

// The cores that this process may use, but at most 4: beyond that a face is too small a job.
int default_threads();

}  // namespace crossface
