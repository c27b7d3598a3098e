// C++ over the C interface: owners that close by themselves, errors as exceptions, two cameras on one engine.
//
//     consumer WEIGHTS WIDTH HEIGHT
#include <fastscnn/fastscnn.h>

#include <cstdint>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

struct Error : std::runtime_error {
    explicit Error(fscnn_status failed)
        : std::runtime_error(std::string(fscnn_status_name(failed)) + ": " + fscnn_error()), status(failed) {}
    fscnn_status status;
};

void check(fscnn_status status) {
    if (status != FSCNN_OK) throw Error(status);
}

struct Close {
    void operator()(fscnn_engine *engine) const { fscnn_engine_close(&engine); }
    void operator()(fscnn_session *session) const { fscnn_session_close(&session); }
};

// The weights. Any number of threads may open sessions on it, and it lives as long as the last of them.
class Engine {
  public:
    explicit Engine(const std::string &weights) {
        fscnn_engine *opened = nullptr;
        check(fscnn_engine_open(weights.c_str(), nullptr, &opened));
        engine.reset(opened);
    }
    std::string class_name(int index) const {
        const char *name = fscnn_engine_class_name(engine.get(), index);
        return name ? name : std::to_string(index);
    }
    fscnn_engine *get() const { return engine.get(); }

  private:
    std::unique_ptr<fscnn_engine, Close> engine;
};

// Buffers and workers for one frame size; for one thread at a time.
class Session {
  public:
    Session(const Engine &engine, int frame_width, int frame_height) : width(frame_width), height(frame_height) {
        fscnn_session_options options;
        fscnn_session_options_init(&options);
        options.width = width, options.height = height;
        fscnn_session *opened = nullptr;
        check(fscnn_session_open(engine.get(), &options, &opened));
        session.reset(opened);
    }
    std::vector<std::uint8_t> labels(const std::vector<std::uint8_t> &rgb) {
        if (rgb.size() != std::size_t(3) * width * height) throw std::invalid_argument("the frame has another size");
        std::vector<std::uint8_t> result(std::size_t(width) * height);
        fscnn_frame frame;
        fscnn_frame_init(&frame, FSCNN_RGB8, width, height, rgb.data());
        fscnn_outputs outputs;
        fscnn_outputs_init(&outputs);
        outputs.labels = result.data();
        check(fscnn_run(session.get(), &frame, &outputs));
        return result;
    }

  private:
    std::unique_ptr<fscnn_session, Close> session;
    int width, height;
};

// One camera's work: its own session on the shared engine; the pixels of each class.
std::map<int, std::size_t> watch(const Engine &engine, int width, int height, unsigned seed) {
    Session session(engine, width, height);
    std::map<int, std::size_t> count;
    for (int i = 0; i < 4; i++) {
        std::vector<std::uint8_t> rgb(std::size_t(3) * width * height);
        for (auto &value : rgb) value = std::uint8_t((seed = seed * 1664525u + 1013904223u) >> 24);
        for (auto label : session.labels(rgb)) count[label]++;
    }
    return count;
}

} // namespace

int main(int argc, char **argv) try {
    if (argc < 4) {
        std::cerr << "usage: consumer WEIGHTS WIDTH HEIGHT\n";
        return 2;
    }
    const int width = std::atoi(argv[2]), height = std::atoi(argv[3]);
    if (width <= 0 || height <= 0) throw std::invalid_argument("width and height are numbers above 0");
    const Engine engine(argv[1]);
    std::map<int, std::size_t> left, right;
    std::exception_ptr failure;
    std::thread other([&] {
        try {
            left = watch(engine, width, height, 1);
        } catch (...) { // an exception must not leave its thread
            failure = std::current_exception();
        }
    });
    try {
        right = watch(engine, width, height, 2);
    } catch (...) {
        other.join();
        throw;
    }
    other.join();
    if (failure) std::rethrow_exception(failure);
    for (const auto &[label, pixels] : left) std::cout << "left " << engine.class_name(label) << ' ' << pixels << '\n';
    for (const auto &[label, pixels] : right)
        std::cout << "right " << engine.class_name(label) << ' ' << pixels << '\n';
    return 0;
} catch (const std::exception &error) {
    std::cerr << "consumer: " << error.what() << '\n';
    return 1;
}
