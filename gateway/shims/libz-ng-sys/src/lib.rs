//! Lends zlib-ng's names to the pure Rust zlib, so that flate2 links without a C build.
//!
//! This is the one place of the project where `unsafe` is allowed. Every function only
//! casts the stream pointer: both `z_stream` layouts agree field by field (see the const
//! assertions below), and a `z_stream` that flate2 fills always carries an allocator, so
//! the bare function pointers here and the optional ones there mean the same.

#![allow(non_snake_case, reason = "zlib's own names, from a macro")]

use core::ffi::{c_char, c_int, c_void};

pub use libz_rs_sys::{
    Z_BEST_COMPRESSION, Z_BEST_SPEED, Z_BLOCK, Z_BUF_ERROR, Z_DATA_ERROR, Z_DEFAULT_COMPRESSION, Z_DEFAULT_STRATEGY,
    Z_DEFLATED, Z_FINISH, Z_FULL_FLUSH, Z_MEM_ERROR, Z_NEED_DICT, Z_NO_COMPRESSION, Z_NO_FLUSH, Z_OK, Z_PARTIAL_FLUSH,
    Z_STREAM_END, Z_STREAM_ERROR, Z_SYNC_FLUSH, Z_VERSION_ERROR, crc32, crc32_combine, uInt, uLong, voidpf, zlibVersion,
};

/// Allocates `items * size` bytes for the stream.
#[expect(non_camel_case_types, reason = "zlib's own name")]
pub type alloc_func = unsafe extern "C" fn(voidpf, uInt, uInt) -> voidpf;
/// Frees what `alloc_func` gave.
#[expect(non_camel_case_types, reason = "zlib's own name")]
pub type free_func = unsafe extern "C" fn(voidpf, voidpf);

/// zlib's stream, in the layout that flate2 initialises: allocators are always set.
#[repr(C)]
#[derive(Copy, Clone, Debug)]
pub struct z_stream {
    pub next_in: *mut u8,
    pub avail_in: uInt,
    pub total_in: uLong,
    pub next_out: *mut u8,
    pub avail_out: uInt,
    pub total_out: uLong,
    pub msg: *mut c_char,
    pub state: *mut internal_state,
    pub zalloc: alloc_func,
    pub zfree: free_func,
    pub opaque: voidpf,
    pub data_type: c_int,
    pub adler: uLong,
    pub reserved: uLong,
}

/// Opaque to callers.
#[derive(Debug)]
#[repr(C)]
pub struct internal_state {
    _opaque: [u8; 0],
}

const _: () = assert!(size_of::<z_stream>() == size_of::<libz_rs_sys::z_stream>());
const _: () = assert!(align_of::<z_stream>() == align_of::<libz_rs_sys::z_stream>());
const _: () =
    assert!(core::mem::offset_of!(z_stream, zalloc) == core::mem::offset_of!(libz_rs_sys::z_stream, zalloc));
const _: () = assert!(core::mem::offset_of!(z_stream, adler) == core::mem::offset_of!(libz_rs_sys::z_stream, adler));

fn stream(it: *mut z_stream) -> *mut libz_rs_sys::z_stream {
    it.cast::<c_void>().cast()
}

/// Forwards functions of zlib to the Rust implementation by casting the stream pointer.
macro_rules! forward {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {$(
        /// See zlib's manual.
        ///
        /// # Safety
        /// As in zlib: the stream was initialised and its buffers are valid.
        pub unsafe extern "C" fn $name(strm: *mut z_stream $(, $argument: $type)*) -> c_int {
            // SAFETY: the layouts agree, and the caller keeps zlib's contract.
            unsafe { libz_rs_sys::$name(stream(strm) $(, $argument)*) }
        }
    )*};
}

forward! {
    deflate(flush: c_int);
    deflateEnd();
    deflateReset();
    deflateParams(level: c_int, strategy: c_int);
    deflateSetDictionary(dictionary: *const u8, length: uInt);
    deflateInit2_(level: c_int, method: c_int, window_bits: c_int, memory: c_int, strategy: c_int, version: *const c_char, size: c_int);
    inflate(flush: c_int);
    inflateEnd();
    inflateReset();
    inflateReset2(window_bits: c_int);
    inflateSetDictionary(dictionary: *const u8, length: uInt);
    inflateInit2_(window_bits: c_int, version: *const c_char, size: c_int);
}
