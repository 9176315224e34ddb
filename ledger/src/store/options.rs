//! How RocksDB is set up, and why.

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode,
    InfoLogger, LogLevel, SliceTransform,
};

use super::Family;

/// How to open a store.
#[derive(Debug, Clone)]
pub struct Options {
    /// Open what is there for reading, beside a writer even; make nothing.
    pub read_only: bool,
    /// Memory for blocks read, and the indexes and filters of files, in bytes.
    pub cache_bytes: usize,
    /// Memory for what is written and not yet in files, over all families, in bytes. While a
    /// flush runs up to twice as much is held.
    pub write_buffer_bytes: usize,
}

impl Default for Options {
    /// To write; 64 MiB of each kind of memory.
    fn default() -> Self {
        Self { read_only: false, cache_bytes: 64 << 20, write_buffer_bytes: 64 << 20 }
    }
}

/// The options of the whole database.
pub(super) fn database(options: &Options, recovery: DBRecoveryMode) -> rocksdb::Options {
    let mut db = rocksdb::Options::default();
    db.create_if_missing(!options.read_only);
    db.create_missing_column_families(!options.read_only);
    db.set_paranoid_checks(true);
    // Recycled WAL files would be faster, but exclude a recovery that forgives a torn tail only.
    db.set_recycle_log_file_num(0);
    db.set_wal_recovery_mode(recovery);
    db.set_track_and_verify_wals_in_manifest(true);
    // Where RocksDB keeps no log of writes, its files must hold the families as they were at one moment.
    db.set_atomic_flush(!options.read_only);
    db.set_db_write_buffer_size(options.write_buffer_bytes);
    db.set_max_total_wal_size(2 * options.write_buffer_bytes as u64);
    db.set_max_open_files(512);
    db.set_max_background_jobs(2);
    db.set_bytes_per_sync(1 << 20);
    // A log file of RocksDB's own would be rotated before the folder's lock is taken: two who open at a time would take
    // each other's files away, which looks like damage.
    db.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Warn, told));
    db
}

/// Takes in what RocksDB has to tell. It names files and sizes, never what is in them.
fn told(level: LogLevel, message: &str) {
    match level {
        LogLevel::Error | LogLevel::Fatal => tracing::error!(target: "rocksdb", "{message}"),
        LogLevel::Warn => tracing::warn!(target: "rocksdb", "{message}"),
        // Headers come whatever the level, and as mere information: its version and options, at each opening.
        LogLevel::Debug | LogLevel::Info | LogLevel::Header => tracing::trace!(target: "rocksdb", "{message}"),
    }
}

/// The families with their options, sharing one cache.
pub(super) fn families(options: &Options) -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(options.cache_bytes);
    let descriptor = |family: Family| {
        let options = family_options(family, options, &cache);
        ColumnFamilyDescriptor::new(family.name(), options)
    };
    Family::ALL.map(descriptor).into()
}

fn family_options(family: Family, options: &Options, cache: &Cache) -> rocksdb::Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    // In the cache, so that memory stays bounded; in parts, as a file's whole filter is larger than a
    // shard of the cache and would be read again at every look-up.
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);

    let mut of_family = rocksdb::Options::default();
    of_family.set_compression_type(DBCompressionType::Lz4);
    of_family.set_write_buffer_size(options.write_buffer_bytes / 2);
    // Each read looks into every file of level 0, and a flush makes one in each family.
    of_family.set_level_zero_file_num_compaction_trigger(2);
    match family {
        // Entries are read in order and repeat names and keys: bigger blocks compress better.
        // The filter keeps a damaged file from failing the reads of entries in other files:
        // RocksDB doesn't look at the ranges of a few files before it reads them.
        Family::Log => {
            table.set_block_size(32 << 10);
            table.set_bloom_filter(10.0, false);
        }
        Family::State => {
            table.set_block_size(8 << 10);
            table.set_bloom_filter(10.0, false);
            table.set_whole_key_filtering(false);
            let in_domain = |key: &[u8]| key.len() >= POSITION_BYTES;
            let rows = SliceTransform::create("attestune.row", row, Some(in_domain));
            of_family.set_prefix_extractor(rows);
            of_family.set_memtable_prefix_bloom_ratio(0.05);
        }
        // Hashes don't compress; their keys do, among more neighbours.
        Family::Tree => {
            of_family.set_compression_type(DBCompressionType::None);
            table.set_block_size(16 << 10);
            table.set_block_restart_interval(64);
        }
        // Most ids asked for are new.
        Family::Meta => {
            table.set_bloom_filter(10.0, false);
            of_family.set_memtable_whole_key_filtering(true);
            of_family.set_memtable_prefix_bloom_ratio(0.05);
        }
    }
    of_family.set_block_based_table_factory(&table);
    of_family
}

/// The bytes of the inverted position that end each key of [`Family::State`].
pub(super) const POSITION_BYTES: usize = 8;

/// A key of the state without its position: what filters are built over.
fn row(key: &[u8]) -> &[u8] {
    &key[..key.len().saturating_sub(POSITION_BYTES)]
}
