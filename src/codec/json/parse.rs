//! A cursor over one JSON text: tokens, strings, numbers, and values that are only checked and passed over.

use super::escape::find_special;

/// Arrays and objects open at once, the record's own object included. A deeper record is bad, `too_deep`.
pub const MAX_DEPTH: u32 = 64;

/// Parsing has ended with the parser's [`Fault`]; the record is bad.
#[derive(Debug)]
pub(super) struct Stop;

pub(super) type Parsed<T> = Result<T, Stop>;

/// Why a text is no JSON object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    /// Stable code, as in [`crate::schema::Decoded::error_reason`].
    pub(super) reason: &'static str,
    /// What is wrong, for people.
    pub(super) what: &'static str,
    /// The byte where it was found.
    pub(super) at: usize,
}

#[derive(Debug)]
pub(super) struct Parser<'a> {
    text: &'a str,
    pos: usize,
    depth: u32,
    fault: Fault,
}

/// A number as it stands in the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number<'a> {
    text: &'a str,
    /// All digits before the exponent, without the point.
    digits: u64,
    /// Whether `digits` holds them all.
    exact: bool,
    negative: bool,
    /// Digits after the point.
    decimals: usize,
    /// Neither fraction nor exponent.
    integer: bool,
    exponent: bool,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, pos: 0, depth: 0, fault: Fault { reason: "syntax", what: "", at: 0 } }
    }

    pub(super) fn fault(&self) -> Fault {
        self.fault
    }

    pub(super) fn pos(&self) -> usize {
        self.pos
    }

    /// Goes back to a place where a value began.
    pub(super) fn rewind(&mut self, pos: usize, depth: u32) {
        self.pos = pos;
        self.depth = depth;
    }

    pub(super) fn depth(&self) -> u32 {
        self.depth
    }

    /// The text from `start` to here.
    #[inline]
    pub(super) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.pos).unwrap_or("")
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.pos).copied()
    }

    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.pos..).unwrap_or(&[])
    }

    /// Passes over `bytes` that [`Self::rest`] has shown.
    #[inline]
    pub(super) fn advance(&mut self, bytes: usize) {
        self.pos += bytes;
    }

    #[inline]
    pub(super) fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.pos += 1;
        }
    }

    #[inline]
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.pos += usize::from(found);
        found
    }

    #[cold]
    pub(super) fn fail(&mut self, reason: &'static str, what: &'static str) -> Stop {
        self.fault = Fault { reason, what, at: self.pos };
        Stop
    }

    /// Something else stands here than `what` names, or the text has ended.
    #[cold]
    pub(super) fn unexpected(&mut self, what: &'static str) -> Stop {
        let reason = if self.pos >= self.text.len() { "truncated" } else { "syntax" };
        self.fail(reason, what)
    }

    /// Passes over `:` and the space around it.
    #[inline]
    pub(super) fn colon(&mut self) -> Parsed<()> {
        self.skip_space();
        if !self.eat(b':') {
            return Err(self.unexpected("a colon was expected"));
        }
        self.skip_space();
        Ok(())
    }

    /// Passes over the opening `byte` of an array or object and the space after it.
    #[inline]
    pub(super) fn open(&mut self) -> Parsed<()> {
        if self.depth == MAX_DEPTH {
            return Err(self.fail("too_deep", "more than 64 arrays and objects are open"));
        }
        self.depth += 1;
        self.pos += 1;
        self.skip_space();
        Ok(())
    }

    /// After an item: `true` where another follows, `false` where `end` has closed the array or object.
    #[inline]
    pub(super) fn more(&mut self, end: u8) -> Parsed<bool> {
        self.skip_space();
        match self.peek() {
            Some(b',') => {
                self.pos += 1;
                self.skip_space();
                Ok(true)
            }
            Some(byte) if byte == end => {
                self.close();
                Ok(false)
            }
            _ => Err(self.unexpected("a comma or the closing bracket was expected")),
        }
    }

    /// Passes over the closing bracket that [`Self::peek`] has shown.
    #[inline]
    pub(super) fn close(&mut self) {
        self.pos += 1;
        self.depth -= 1;
    }

    pub(super) fn literal(&mut self, word: &'static str) -> Parsed<()> {
        let rest = self.rest();
        if rest.starts_with(word.as_bytes()) {
            self.pos += word.len();
            return Ok(());
        }
        if word.as_bytes().starts_with(rest) {
            self.pos = self.text.len();
        }
        Err(self.unexpected("a value was expected"))
    }

    /// The string that begins here, where it holds no escape; else `None`, with nothing passed over.
    #[inline]
    pub(super) fn plain_string(&mut self) -> Parsed<Option<&'a str>> {
        let start = self.pos + 1;
        let end = find_special(self.text.as_bytes(), start);
        match self.text.as_bytes().get(end) {
            Some(b'"') => {
                self.pos = end + 1;
                Ok(self.text.get(start..end))
            }
            Some(b'\\') => Ok(None),
            _ => {
                self.pos = end;
                Err(self.bad_string())
            }
        }
    }

    #[cold]
    fn bad_string(&mut self) -> Stop {
        if self.peek().is_none() {
            return self.unexpected("a string has no end");
        }
        self.unexpected("a control character stands in a string")
    }

    /// Appends the string that begins here to `out`, escapes resolved.
    #[inline]
    pub(super) fn string(&mut self, out: &mut String) -> Parsed<()> {
        if let Some(plain) = self.plain_string()? {
            out.push_str(plain);
            return Ok(());
        }
        self.escaped_string(out)
    }

    fn escaped_string(&mut self, out: &mut String) -> Parsed<()> {
        self.pos += 1;
        loop {
            let start = self.pos;
            self.pos = find_special(self.text.as_bytes(), start);
            out.push_str(self.since(start));
            match self.peek() {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.pos += 1;
                    out.push(self.escape()?);
                }
                _ => return Err(self.bad_string()),
            }
        }
    }

    /// The character of the escape whose backslash has been passed.
    fn escape(&mut self) -> Parsed<char> {
        let simple = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.pos += 1;
                return self.unicode_escape();
            }
            _ => return Err(self.unexpected("an escape is not one of JSON's")),
        };
        self.pos += 1;
        Ok(simple)
    }

    fn unicode_escape(&mut self) -> Parsed<char> {
        let first = self.hex()?;
        let code = match first {
            0xd800..=0xdbff => {
                if !(self.eat(b'\\') && self.eat(b'u')) {
                    return Err(self.unexpected("half of a surrogate pair is missing"));
                }
                let second = self.hex()?;
                if !(0xdc00..=0xdfff).contains(&second) {
                    return Err(self.fail("syntax", "half of a surrogate pair is missing"));
                }
                0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            _ => first,
        };
        char::from_u32(code).ok_or_else(|| self.fail("syntax", "half of a surrogate pair is missing"))
    }

    fn hex(&mut self) -> Parsed<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|b| char::from(b).to_digit(16));
            let Some(digit) = digit else { return Err(self.unexpected("\\u needs four hexadecimal digits")) };
            code = code * 16 + digit;
            self.pos += 1;
        }
        Ok(code)
    }

    /// The number that begins here, by JSON's grammar.
    #[inline]
    pub(super) fn number(&mut self) -> Parsed<Number<'a>> {
        let start = self.pos;
        let negative = self.eat(b'-');
        let mut digits = 0_u64;
        let first = self.peek();
        let whole = self.digits(&mut digits);
        if whole == 0 {
            return Err(self.unexpected("a digit was expected"));
        }
        if first == Some(b'0') && whole > 1 {
            self.pos = start;
            return Err(self.fail("syntax", "a number begins with zero"));
        }
        let mut decimals = 0;
        if self.eat(b'.') {
            decimals = self.digits(&mut digits);
            if decimals == 0 {
                return Err(self.unexpected("a digit was expected"));
            }
        }
        let exponent = matches!(self.peek(), Some(b'e' | b'E'));
        if exponent {
            self.pos += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.pos += 1;
            }
            if self.digits(&mut 0) == 0 {
                return Err(self.unexpected("a digit was expected"));
            }
        }
        Ok(Number {
            text: self.since(start),
            digits,
            // 19 digits always fit in 64 bits.
            exact: whole + decimals <= 19,
            negative,
            decimals,
            integer: decimals == 0 && !exponent,
            exponent,
        })
    }

    /// Passes over digits, appends them to `value`, and counts them.
    #[inline]
    fn digits(&mut self, value: &mut u64) -> usize {
        let start = self.pos;
        while let Some(digit) = self.peek().map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
            *value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            self.pos += 1;
        }
        self.pos - start
    }

    /// Checks any value and passes over it.
    pub(super) fn skip_value(&mut self) -> Parsed<()> {
        match self.peek() {
            Some(b'"') => self.skip_string(),
            Some(b'-' | b'0'..=b'9') => self.number().map(|_| ()),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            Some(b'[') => self.skip_array(),
            Some(b'{') => self.skip_object(),
            _ => Err(self.unexpected("a value was expected")),
        }
    }

    fn skip_string(&mut self) -> Parsed<()> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a name in quotes was expected"));
        }
        match self.plain_string()? {
            Some(_) => Ok(()),
            None => self.escaped_string(&mut String::new()),
        }
    }

    fn skip_array(&mut self) -> Parsed<()> {
        self.open()?;
        if self.peek() == Some(b']') {
            self.close();
            return Ok(());
        }
        loop {
            self.skip_value()?;
            if !self.more(b']')? {
                return Ok(());
            }
        }
    }

    fn skip_object(&mut self) -> Parsed<()> {
        self.open()?;
        if self.peek() == Some(b'}') {
            self.close();
            return Ok(());
        }
        loop {
            self.skip_string()?;
            self.colon()?;
            self.skip_value()?;
            if !self.more(b'}')? {
                return Ok(());
            }
        }
    }
}

const POWERS: [f64; 20] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19];

impl Number<'_> {
    /// The nearest double; `None` where it is infinite.
    #[inline]
    pub(super) fn as_double(&self) -> Option<f64> {
        // Both are exact below 2⁵³ and 10²², so that the division rounds once, as it should (W. D. Clinger, 1990).
        if self.exact && !self.exponent && self.digits < 1 << 53 {
            let power = POWERS.get(self.decimals)?;
            let size = self.digits as f64 / power;
            return Some(if self.negative { -size } else { size });
        }
        lexical_core::parse::<f64>(self.text.as_bytes()).ok().filter(|v| v.is_finite())
    }

    /// The integer; `None` where it has a fraction or exponent, or is too big.
    #[inline]
    pub(super) fn as_long(&self) -> Option<i64> {
        if !self.integer || !self.exact {
            return None;
        }
        if self.negative { 0_i64.checked_sub_unsigned(self.digits) } else { i64::try_from(self.digits).ok() }
    }

    /// The integer; `None` where it has a fraction or exponent, or is too big.
    #[inline]
    pub(super) fn as_int(&self) -> Option<i32> {
        self.as_long().and_then(|v| i32::try_from(v).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Option<Number<'_>> {
        let mut parser = Parser::new(text);
        let number = parser.number().ok()?;
        (parser.pos() == text.len()).then_some(number)
    }

    fn string(text: &str) -> Result<String, &'static str> {
        let mut parser = Parser::new(text);
        let mut out = String::new();
        parser.string(&mut out).map(|()| out).map_err(|Stop| parser.fault().reason)
    }

    #[test]
    fn numbers_follow_the_grammar() {
        for good in ["0", "-0", "12", "1.5", "0.25", "1e3", "1E+3", "1.5e-3", "-1.0"] {
            assert!(number(good).is_some(), "{good}");
        }
        for bad in ["", "-", "01", "-01", "+1", ".5", "1.", "1.e3", "1e", "1e+", "0x1", "NaN", "Infinity", "1_000"] {
            assert!(number(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn doubles_are_the_nearest_ones() {
        for text in [
            "0.1",
            "-73.98513",
            "9007199254740993",
            "9007199254740992.5",
            "1.7976931348623157e308",
            "5e-324",
            "2.2250738585072011e-308",
            "123456789012345678901234567890",
            "0.00000000000000000000000000000000000001",
            "1e-400",
        ] {
            assert_eq!(number(text).unwrap().as_double(), text.parse().ok(), "{text}");
        }
        assert_eq!(number("1e309").unwrap().as_double(), None);
        assert!(number("-0.0").unwrap().as_double().unwrap().is_sign_negative());
    }

    #[test]
    fn integers_are_whole_and_in_range() {
        assert_eq!(number("2147483647").unwrap().as_int(), Some(i32::MAX));
        assert_eq!(number("-2147483648").unwrap().as_int(), Some(i32::MIN));
        assert_eq!(number("2147483648").unwrap().as_int(), None);
        assert_eq!(number("9223372036854775807").unwrap().as_long(), Some(i64::MAX));
        assert_eq!(number("-9223372036854775808").unwrap().as_long(), Some(i64::MIN));
        assert_eq!(number("9223372036854775808").unwrap().as_long(), None);
        assert_eq!(number("-9223372036854775809").unwrap().as_long(), None);
        assert_eq!(number("18446744073709551617").unwrap().as_long(), None);
        for fraction in ["1.0", "1e2", "1.5"] {
            assert_eq!(number(fraction).unwrap().as_long(), None, "{fraction}");
        }
        assert_eq!(number("-0").unwrap().as_int(), Some(0));
    }

    #[test]
    fn strings_resolve_escapes_and_refuse_halves_of_pairs() {
        assert_eq!(string(r#""a\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00é""#).unwrap(), "a\"\\/\u{8}\u{c}\n\r\té😀é");
        for bad in
            [r#""\ud83d""#, r#""\ud83dx""#, r#""\ud83d\u0041""#, r#""\ude00""#, r#""\x""#, r#""\u12g4""#, "\"\n\""]
        {
            assert_eq!(string(bad), Err("syntax"), "{bad}");
        }
        for cut in ["\"", "\"abc", r#""\"#, r#""\u12"#, r#""\ud83d"#, r#""\ud83d\u00"#] {
            assert_eq!(string(cut), Err("truncated"), "{cut}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Parser::new(&nested(64)).skip_value().is_ok());
        let deep = nested(65);
        let mut parser = Parser::new(&deep);
        assert!(parser.skip_value().is_err());
        assert_eq!((parser.fault().reason, parser.fault().at), ("too_deep", 64));
    }
}
